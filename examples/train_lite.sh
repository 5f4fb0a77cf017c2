#!/bin/sh
# The recipe whose earlier forms made the bundled weights: little data, little compute, landmarks
# as a start. Three steps: keypoints from landmarks and motion alone (quick), then all together.
# Usage: examples/train_lite.sh CLIPS LANDMARKS PORTRAITS FOLDER [MOTION_MINUTES] [JOINT_MINUTES]
#   CLIPS:     train/ (and test/) with 256 px clips of faces.
#   LANDMARKS: auto, or a folder of <clip>.npz with `points` (frames, 478, 3) in pixels, MediaPipe's
#              numbering, and portraits.npz.
#   PORTRAITS: photos of more faces, for the keypoints and, their heads turned, for what heads hide.
set -eu
clips=$1
landmarks=$2
portraits=$3
folder=$4
motion_minutes=${5:-22}
joint_minutes=${6:-200}

# The image terms judge the warped source here, which cannot show what the source does not have:
# they get less weight than later.
talkhead train --data "$clips" --landmarks "$landmarks" --portraits "$portraits" \
    --out "$folder/motion" --bf16 --keypoint-steps 1600 --minutes "$motion_minutes" \
    --batch-size 6 --set recipe.motion_only=true --set recipe.rescale_jacobians=false \
    --perceptual none --set recipe.weights.perceptual=0 --set recipe.weights.pyramid=3 \
    --set recipe.weights.gradient=1.5 --set recipe.weights.dissimilarity=0.3
talkhead train --data "$clips" --landmarks "$landmarks" --portraits "$portraits" \
    --out "$folder/joint" --bf16 --init "$folder/motion/weights.safetensors" \
    --minutes "$joint_minutes" --batch-size 6 --set recipe.keypoint_rate=1.5e-4 \
    --set "recipe.landmark_start.weights=[0.5,0.1]" --set recipe.sharpen=0.3
