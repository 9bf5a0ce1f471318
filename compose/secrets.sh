#!/bin/sh
# Writes fresh secrets to .env in this folder, as .env.example names them, unless there is one.
set -eu
[ ! -e .env ] || exit 0
random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
while IFS= read -r line; do
  case "$line" in
    *=hex64) echo "${line%hex64}$(random 32)" ;;
    *=password) echo "${line%password}p$(random 24)" ;;
    *=GK_key) echo "${line%GK_key}GK$(random 16)" ;;
    *) echo "$line" ;;
  esac
done <.env.example >.env.draft
mv .env.draft .env
