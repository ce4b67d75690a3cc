# Checks the sources, links them with the modules that they use into dist/app.sh, and runs it once.
set -eu

index=modules/INDEX
mkdir -p dist

for file in src/*.sh; do
  sh -n "$file"
done
echo "checked $(find src -name '*.sh' | wc -l) source files"

: > dist/app.sh.new
for name in $(sed -n 's/^# use: //p' src/*.sh | sort -u); do
  part=$(awk -v name="$name" '$1 == name { print $2 }' "$index")
  if [ -z "$part" ]; then
    echo "build.sh: no module exports $name" >&2
    exit 1
  fi
  cat "modules/$part" >> dist/app.sh.new
  echo "linked $name out of modules/$part"
done
cat src/version.sh src/greeting.sh src/report.sh src/main.sh >> dist/app.sh.new
sh -n dist/app.sh.new
mv dist/app.sh.new dist/app.sh
sh dist/app.sh builder
