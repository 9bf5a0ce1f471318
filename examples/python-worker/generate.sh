#!/bin/sh
# Generates the gRPC stubs from the contract. Usage: generate.sh PYTHON FOLDER
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
protos="$here/../../proto"
mkdir -p "$2"
"$1" -m grpc_tools.protoc -I "$protos" --python_out="$2" --grpc_python_out="$2" \
    "$protos/printmill/v1/assets.proto" "$protos/printmill/v1/problem.proto" \
    "$protos/printmill/v1/work.proto"
