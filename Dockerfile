# Two stages: the first compiles, and gathers all that the program needs at run time in one folder; the second is that
# folder and nothing else: Node.js, the libraries that it links to, the compiled program, its packages. No shell, no
# package manager, nobody is root, and nothing is ever written: docker run --read-only --cap-drop ALL works.
FROM node:26.10.0-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
# Without install scripts the npm package `node` brings no second Node.js; the image has its own.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY src src
COPY cmd cmd
RUN node_modules/.bin/tsc -p tsconfig.build.json
RUN sh scripts/image-root.sh /image

FROM scratch
COPY --from=build /image /
ENV MALLOC_ARENA_MAX=2
USER 65532:65532
WORKDIR /app
EXPOSE 8080 8443 9901
ENTRYPOINT ["/usr/local/bin/node", "--disable-warning=DEP0111", "--max-semi-space-size=2", "--no-parallel-scavenge", "--heap-growing-percent=60", "/app/dist/cmd/tidegate.js"]
CMD ["serve"]
