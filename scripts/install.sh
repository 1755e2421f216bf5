#!/bin/sh
# Installs the packages that package-lock.json names into node_modules, a Node.js that is new enough among them.
# Called by make when package-lock.json is newer than the last installation.
set -u

if ! command -v npm >/dev/null 2>&1; then
  echo "npm is missing: install Node.js 20 or later with npm (on Debian: apt-get install nodejs npm), then run make again" >&2
  exit 1
fi

echo "Installing dependencies with npm ci; the first time this takes about a minute."
# Warnings are left out: npm reports packages that want a newer Node.js than the machine's own, and the newer one is
# among what it installs. Errors are shown.
if ! npm ci --no-audit --no-fund --loglevel=error; then
  echo "npm ci failed: see the error above; without a network nothing can be installed" >&2
  exit 1
fi

if ! version=$(node_modules/.bin/node --version 2>/dev/null); then
  echo "the npm package \`node\` brought no program for this machine: its install script must be allowed to run (npm config get ignore-scripts)" >&2
  exit 1
fi
echo "Installed; make and bin/tidegate have Node.js $version."
