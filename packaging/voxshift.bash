# Completions of bash for voxshift, made by packaging/command_pages.py.
_voxshift() {
  local word=${COMP_WORDS[COMP_CWORD]} words=
  case "${COMP_WORDS[1]-} ${COMP_WORDS[2]-}" in
    "synth lidar") words="--help --seed --count --vary-sensor --boxes --pictures --out" ;;
    "synth video") words="--help --seed --count --label --camera --noise --frames --size --images --out" ;;
    "segment "*) words="--help --model --device --dtype --threads --out --write --stats --trace --sensor --columns --remission-scale --origin --layers --range --preprocess --shard --skip-done" ;;
    "detect "*) words="--help --model --device --dtype --threads --out --write --stats --trace --sensor --columns --remission-scale --origin --layers --calib --score-threshold" ;;
    "run "*) words="--help --input --device --dtype --threads --out --stats --trace --layers" ;;
    "recognize "*) words="--help --model --skip --smooth --key-frames --every --max-frames --device --dtype --threads --json --stats --trace --annotate" ;;
    "view "*) words="--help --labels --protocol --model --device --dtype --threads --sensor --columns --remission-scale --origin --fps --save" ;;
    "eval "*) words="--help --pred --gt --sequence --protocol --confusion --json --picture --detections --calib --scans --max-distance" ;;
    "info "*) words="--help --profile" ;;
    "new "*) words="--help --width --classes --seed --shift --style --config --preprocess --out" ;;
    "convert "*) words="--help --from --arch --layout --classes --preprocess --outputs --to --out" ;;
    "calibrate "*) words="--help --budget --max-frames --threads --out --synthetic" ;;
    "quantize "*) words="--help --data --synthetic --dtype --keep --max-loss --report --picture --max-frames --sensor --columns --remission-scale --origin --threads --out" ;;
    "synth "*) words="lidar video --help" ;;
  esac
  [[ $COMP_CWORD -gt 1 ]] || words="segment detect run recognize view eval info new convert calibrate quantize synth --help --version"
  COMPREPLY=()
  # Files where no word fits, which the option after the name asks bash for.
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -W "$words" -- "$word")
}
complete -o bashdefault -o default -F _voxshift voxshift
