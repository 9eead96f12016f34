#!/usr/bin/env bash
# Does what docker/Dockerfile does, in a clean environment without Docker, and asks the server once.
#   tools/container_steps.sh FOLDER [PORT]     FOLDER is made, and may be deleted afterwards
set -euo pipefail
folder=$1 port=${2:-8000} source=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$folder/src" "$folder/data" "$folder/home"
cp "$source"/{pyproject.toml,README.md,LICENSE} "$folder/src"
cp -r "$source/sklearn_llmrec" "$folder/src"
find "$folder/src" -name __pycache__ -prune -exec rm -rf {} +
cd "$folder"
"${PYTHON:-python3}" -m venv app
app/bin/python -m pip install --quiet --no-cache-dir "./src[serve,postgres]" pandas

# Nothing of the caller's environment but what the image has, and no root where another user can be had.
run=(env -i "PATH=$PWD/app/bin:/usr/bin:/bin" "HOME=$PWD/home" "NUMBA_CACHE_DIR=$PWD/home/numba" PYTHONUNBUFFERED=1)
if [ "$(id -u)" = 0 ] && setpriv --reuid=10001 --regid=10001 --clear-groups test -x app/bin/python; then
  chown -R 10001:10001 data home
  run=(setpriv --reuid=10001 --regid=10001 --clear-groups "${run[@]}")
fi
"${run[@]}" python -m sklearn_llmrec.warm_up
"${run[@]}" python - <<'END'
from sklearn_llmrec import ItemKNN, save
from sklearn_llmrec.datasets import load_online_retail

X = load_online_retail().interactions
X.item_features = None
save("data/model.zip", ItemKNN().fit(X), X, histories=True)
END
"${run[@]}" sklearn-llmrec serve data/model.zip --port "$port" --feedback data/feedback.db &
server=$!
trap 'kill $server' EXIT
health="import urllib.request as r; r.urlopen('http://127.0.0.1:$port/health/ready', timeout=4)"
for _ in $(seq 240); do
  if "${run[@]}" python -c "$health" 2>/dev/null; then
    "${run[@]}" python -c "
import json, urllib.request as r
body = json.dumps({'user': 12347, 'k': 3}).encode()
print(r.urlopen(r.Request('http://127.0.0.1:$port/v1/recommend', body)).read().decode())"
    exit 0
  fi
  kill -0 $server
  sleep 0.5
done
exit 1
