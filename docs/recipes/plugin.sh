(
  cd "$(mktemp -d)"
  archive="kubectl-locust_${PLUGIN_VERSION}_linux_amd64.tar.gz"
  for file in "$archive" checksums.txt; do
    curl -fsSL --retry 3 -o "$file" "https://github.com/AbdelrhmanHamouda/locust-k8s-operator/releases/download/v$PLUGIN_VERSION/$file"
  done
  grep "  $archive\$" checksums.txt >checksum
  sha256sum -c checksum
  tar -xzf "$archive" -C "$PLUGIN_DIR" kubectl-locust
)
