#!/usr/bin/env bash
# docker-registry 2.8.2 (Debian's package docker-registry), asked by curl.
#
# Likely guess: a manifest that was pushed with the type `application/vnd.oci.image.manifest.v1+json` is found by its
# tag and by its digest, whatever `accept` says; or a registry that minds it answers 406.
#
# Seen: without that type in `accept` (none, or `*/*`) it answers 404 MANIFEST_UNKNOWN, with the reason in the message
# only. A client that takes 404 for "was never pushed" is wrong. So clients have to list the types of manifests that
# they can name, also of those that they refuse.
#
# Output:
#   no accept: 404 OCI manifest found, but accept header does not support OCI manifests
#   accept: */*: 404 OCI manifest found, but accept header does not support OCI manifests
#   accept: application/vnd.oci.image.manifest.v1+json: 200
set -euo pipefail
command -v docker-registry curl python3 > /dev/null
folder=$(mktemp -d)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > "$folder/config.yml" << YAML
version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: $folder/data } }
http: { addr: 127.0.0.1:$port }
YAML
docker-registry serve "$folder/config.yml" > "$folder/log" 2>&1 &
registry=$!
trap 'kill "$registry"; rm -rf "$folder"' EXIT
base="http://127.0.0.1:$port/v2/a"
curl --silent --output "$folder/up" --retry 50 --retry-connrefused --retry-delay 1 "http://127.0.0.1:$port/v2/"

blob='{}'
digest="sha256:$(printf %s "$blob" | sha256sum | cut -d' ' -f1)"
to=$(curl --silent --output "$folder/upload" --dump-header - --request POST "$base/blobs/uploads/" |
    tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
curl --silent --output "$folder/put" --request PUT --header 'content-type: application/octet-stream' \
    --data-binary "$blob" "$to&digest=$digest"
oci=application/vnd.oci.image.manifest.v1+json
part='{"mediaType":"application/wasm","digest":"'$digest'","size":2}'
curl --silent --output "$folder/manifest" --request PUT --header "content-type: $oci" \
    --data-binary '{"schemaVersion":2,"mediaType":"'$oci'","config":'"$part"',"layers":['"$part"']}' "$base/manifests/1"

ask() {
    local status
    status=$(curl --silent --output "$folder/answer" --write-out '%{http_code}' --header "accept:$1" "$base/manifests/1")
    if [[ $status == 200 ]]; then
        printf '%s: 200\n' "$2"
    else
        printf '%s: %s %s\n' "$2" "$status" \
            "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["errors"][0]["message"])' "$folder/answer")"
    fi
}
ask "" "no accept"
ask " */*" "accept: */*"
ask " $oci" "accept: $oci"
