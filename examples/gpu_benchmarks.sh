#!/usr/bin/env bash
# Measure the bundled weights and the published models on a GPU, with and without compilation.
#
#   examples/gpu_benchmarks.sh FOLDER                       # half precision, about 15 minutes on one GPU
#   examples/gpu_benchmarks.sh FOLDER --bf16 --frames 96    # other options of `talkhead benchmark`
#   MODELS=bundled examples/gpu_benchmarks.sh FOLDER --quick --device cpu   # only check that it runs
#
# FOLDER gets NAME.json and NAME.txt (tables) for every measurement; what is there is not measured
# again. The compiled ones show what changed. Leave the machine alone meanwhile.
set -uo pipefail

folder=${1:?usage: $0 FOLDER [options of talkhead benchmark]}
options=("${@:2}")
if [ ${#options[@]} -eq 0 ]; then
    options=(--device cuda --fp16 --frames 240 --loop-frames 24 --batch-sizes 1,4,16)
fi
mkdir -p "$folder" || exit 1
{ nvidia-smi || echo "no nvidia-smi"; } > "$folder/machine.txt" 2>&1

failed=0
measure() { # NAME OPTION...: one measurement; the last line that it prints is JSON
    local text=$folder/$1.txt json=$folder/$1.json
    if [ -s "$json" ]; then
        return
    fi
    echo "$1 ..."
    if talkhead benchmark --json "${@:2}" "${options[@]}" > "$text" 2> "$folder/$1.log"; then
        tail -n 1 "$text" > "$json"
        sed -i '$d' "$text"
    else
        echo "$1 failed: $(tail -n 1 "$folder/$1.log")"
        failed=1
    fi
}

for model in ${MODELS:-bundled codebook mcnet}; do
    chosen=()
    if [ "$model" != bundled ]; then
        chosen=(--model "$model")
    fi
    measure "$model" "${chosen[@]}"
    compare=()
    if [ -s "$folder/$model.json" ]; then
        compare=(--compare "$folder/$model.json")
    fi
    measure "$model-compiled" --compile "${chosen[@]}" "${compare[@]}"
done
exit $failed
