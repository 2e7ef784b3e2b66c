#!/bin/sh
# Install the system packages that Sightline needs, once; say in one line why not if it cannot.
set -eu

have_mosquitto() { command -v mosquitto >/dev/null 2>&1 || [ -x /usr/sbin/mosquitto ]; }

have_mosquitto && exit 0

fail() { echo "sightline: Mosquitto is missing and $1; install the 'mosquitto' package by hand" >&2; exit 1; }

command -v apt-get >/dev/null 2>&1 || fail "this system has no apt-get"
if [ "$(id -u)" = 0 ]; then sudo=""
elif command -v sudo >/dev/null 2>&1; then sudo="sudo"
else fail "you are not root and have no sudo"; fi

echo "sightline: installing mosquitto"
# The distribution starts the service at install; policy-rc.d would be intrusive, a stop is not.
{ $sudo apt-get update -q && $sudo env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends mosquitto; } >/dev/null 2>&1 \
  || fail "apt-get could not install it"
have_mosquitto || fail "apt-get installed nothing usable"
