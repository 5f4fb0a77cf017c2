#!/bin/sh
# The recipe of the bundled weights: little data, little compute, landmarks as a start.
# Three steps: keypoints from landmarks and motion alone (quick), then everything together.
# Usage: examples/train_lite.sh CLIPS LANDMARKS FOLDER [MOTION_MINUTES] [JOINT_MINUTES]
#   CLIPS:     train/ (and test/) with 256 px clips of faces.
#   LANDMARKS: <clip>.npz with `points` (frames, 478, 2 or 3) in pixels, MediaPipe's numbering.
set -eu
clips=$1
landmarks=$2
folder=$3
motion_minutes=${4:-28}
joint_minutes=${5:-60}

# The image terms judge the warped source here, which cannot show what the source does not have:
# they get less weight than later.
talkhead train --data "$clips" --landmarks "$landmarks" --out "$folder/motion" --bf16 \
    --keypoint-steps 1500 --minutes "$motion_minutes" --batch-size 6 \
    --set recipe.motion_only=true --set recipe.weights.pyramid=3 \
    --set recipe.weights.gradient=1.5 --set recipe.weights.dissimilarity=0.3
talkhead train --data "$clips" --landmarks "$landmarks" --out "$folder/joint" --bf16 \
    --init "$folder/motion/weights.safetensors" --minutes "$joint_minutes" --batch-size 4 \
    --set recipe.keypoint_rate=1.5e-4 --set "recipe.landmark_start.weights=[0.5,0.1]"
