# Redis, gateway and worker-launcher with the simulator in one container, for trials. From the repository root:
#   docker build -f deploy/all-in-one.Dockerfile -t penstock/all-in-one:0.2.0 .
#   docker run --rm --init -p 127.0.0.1:8080:8080 -v penstock-data:/data penstock/all-in-one:0.2.0
ARG NODE_IMAGE=docker.io/library/node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY gateway gateway
COPY worker-launcher worker-launcher
COPY deploy/local/setup deploy/local/setup
RUN node_modules/.bin/tsc -p . \
    && node deploy/local/setup/copy-docs.mjs \
    && node_modules/.bin/vite build gateway/console --logLevel warn \
    && npm prune --omit=dev --ignore-scripts

FROM ${NODE_IMAGE}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 10001 -g 10001 /data
ENV NODE_ENV=production GATEWAY_HOST=0.0.0.0 GATEWAY_KEYS_FILE=/data/keys.yaml HOME=/data
WORKDIR /app
COPY package.json LICENSE ./
COPY deploy/local deploy/local
COPY deploy/models deploy/models
COPY deploy/all-in-one.sh deploy/all-in-one.sh
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
USER 10001:10001
VOLUME /data
EXPOSE 8080
CMD ["sh", "deploy/all-in-one.sh"]
