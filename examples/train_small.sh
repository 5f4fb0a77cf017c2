#!/bin/sh
# From nothing to weights that animate, on any machine: draw synthetic clips, train a small model
# on them, and move a portrait with it. About a quarter of an hour on two CPU cores.
# Usage: examples/train_small.sh [FOLDER] [MINUTES]
set -eu
here=$(dirname "$0")
folder=${1:-runs/small}
minutes=${2:-12}

[ -f "$folder/drawn" ] || {
    talkhead synth -o "$folder/clips" --identities 12 --clips 2 --seconds 2 --size 128 --overwrite
    touch "$folder/drawn"
}
talkhead train --data "$folder/clips" --out "$folder/run" --preset codebook-lite \
    --set model.image_size=128 --set model.working_size=64 --set model.dense_motion.size=32 \
    --minutes "$minutes" --batch-size 4 --validate-steps 200 --overwrite
talkhead animate "$here/portrait.jpg" "$here/driving.mp4" -o "$folder/result.mp4" \
    --weights "$folder/run/weights.safetensors" --overwrite
