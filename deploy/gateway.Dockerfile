# The gateway, with the penstock command for keys and cards. From the repository root:
#   docker build -f deploy/gateway.Dockerfile -t penstock/gateway:0.2.0 .
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
LABEL org.opencontainers.image.title="penstock gateway" \
      org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production
# Mount points: the key file, which `penstock keys` may also create here, and the Redis passwords.
RUN install -d -o 10001 -g 10001 /etc/penstock/keys /etc/penstock/redis
WORKDIR /app
COPY package.json LICENSE ./
COPY deploy/local deploy/local
COPY deploy/models deploy/models
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
# A number, so that Kubernetes can check that it is not root.
USER 10001:10001
EXPOSE 8080 8081
CMD ["node", "dist/gateway/main.js"]
