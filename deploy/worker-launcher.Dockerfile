# The worker-launcher, on vLLM's own image. From the repository root:
#   docker build -f deploy/worker-launcher.Dockerfile -t penstock/worker-launcher:0.2.0 .
# Without vLLM, for the simulator, at a hundredth of the size:
#   docker build -f deploy/worker-launcher.Dockerfile --target simulator -t penstock/worker-launcher:0.2.0-simulator .
ARG NODE_IMAGE=docker.io/library/node:24.21.0-bookworm-slim
ARG VLLM_IMAGE=docker.io/vllm/vllm-openai:v0.33.0

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY gateway gateway
COPY worker-launcher worker-launcher
COPY deploy/local/setup deploy/local/setup
RUN node_modules/.bin/tsc -p . && node deploy/local/setup/copy-docs.mjs && npm prune --omit=dev --ignore-scripts

FROM ${NODE_IMAGE} AS simulator
ENV NODE_ENV=production WORKER_ENGINE=simulator
WORKDIR /app
COPY package.json LICENSE ./
COPY deploy/models deploy/models
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
USER 10001:10001
EXPOSE 8082
CMD ["node", "dist/worker-launcher/main.js"]

FROM ${VLLM_IMAGE} AS vllm
LABEL org.opencontainers.image.title="penstock worker-launcher" \
      org.opencontainers.image.licenses="MIT"
USER 0
# tini reaps the orphaned processes of a killed engine.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 penstock \
    && useradd --uid 10001 --gid 10001 --no-log-init --home-dir /models penstock \
    && install -d -o 10001 -g 10001 /models
COPY --from=build /usr/local/bin/node /usr/local/bin/node
# Mount a volume at /models, for downloads and compiled kernels.
ENV NODE_ENV=production \
    WORKER_ENGINE=vllm \
    HOME=/models \
    XDG_CACHE_HOME=/models/cache \
    HF_HOME=/models/huggingface \
    VLLM_CACHE_ROOT=/models/vllm \
    TORCHINDUCTOR_CACHE_DIR=/models/torchinductor \
    TRITON_CACHE_DIR=/models/triton
WORKDIR /app
COPY package.json LICENSE ./
COPY deploy/models deploy/models
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
USER 10001:10001
EXPOSE 8082
ENTRYPOINT ["tini", "--"]
CMD ["node", "dist/worker-launcher/main.js"]
