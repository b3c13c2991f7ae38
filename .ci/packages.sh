#!/usr/bin/env bash
# The Debian package, the manual, the completions and the unit: `packages.sh WINDLASS FOLDER`, with `cargo deb` in PATH.
#
# The package is made of the binary that is given, installed into a fresh Debian in FOLDER, and the gateway runs there as
# its own user with a file system that it cannot write. What cannot be tried here is said: `LEFT OUT: ...`.
set -euo pipefail
windlass=$(realpath "$1")
folder=$(realpath -m "$2")
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
mkdir -p "$folder"

fail() {
    echo "packages: $1" >&2
    exit 1
}

left_out() {
    echo "LEFT OUT: $1"
}

# Where Cargo.toml names them.
made=target/packaging
rm -rf "$made"
mkdir -p "$made/completions"
"$windlass" man "$made/man"
"$windlass" completions bash > "$made/completions/windlass.bash"
"$windlass" completions zsh > "$made/completions/_windlass"
"$windlass" completions fish > "$made/completions/windlass.fish"
bash -n "$made/completions/windlass.bash"
for shell in zsh fish; do
    command -v "$shell" > /dev/null || { left_out "the completions of $shell: it is not installed"; continue; }
    case $shell in
        zsh) zsh -n "$made/completions/_windlass" ;;
        fish) fish --no-execute "$made/completions/windlass.fish" ;;
    esac
done
if command -v mandoc > /dev/null; then
    mandoc -T lint -W error "$made"/man/*.1 > "$folder/mandoc" || { cat "$folder/mandoc"; fail "the manual has errors"; }
else
    left_out "the manual: mandoc is not installed"
fi

# The page shows the unit that the package brings.
sed -n '/^```ini$/,/^```$/p' docs/how-to/systemd.md | sed '1d; /^```$/,$d' | sed 's|/usr/local/bin/|/usr/bin/|' \
    | diff - packaging/windlass.service || fail "docs/how-to/systemd.md shows another unit than packaging/windlass.service"
if command -v systemd-analyze > /dev/null; then
    # It looks for the program, which is not installed here.
    sed "s|/usr/bin/windlass|$windlass|" packaging/windlass.service > "$folder/windlass.service"
    systemd-analyze verify "$folder/windlass.service" 2> "$folder/verify" || true
    if grep 'windlass\.service' "$folder/verify" | grep -v 'is not executable: No such file'; then
        fail "systemd-analyze finds faults in the unit"
    fi
else
    left_out "the unit: systemd-analyze is not installed"
fi

# The package. The binary was built before; the dependencies on libraries are read from it.
mkdir -p "$folder/target/release"
cp "$windlass" "$folder/target/release/windlass"
strip "$folder/target/release/windlass"
rm -f "$folder"/*.deb
CARGO_TARGET_DIR="$folder/target" cargo deb --quiet --no-build --no-strip --package windlass --output "$folder/windlass.deb"
dpkg-deb --info "$folder/windlass.deb" > "$folder/info"
grep -q '^ Depends: .*libc6' "$folder/info" || { cat "$folder/info"; fail "the package does not name the C library"; }
dpkg-deb --contents "$folder/windlass.deb" | awk '{print $6}' > "$folder/contents"
for file in ./usr/bin/windlass ./etc/windlass/windlass.toml ./usr/share/man/man1/windlass-run.1.gz \
    ./usr/share/bash-completion/completions/windlass ./usr/share/doc/windlass/NOTICE; do
    grep -qx "$file" "$folder/contents" || { cat "$folder/contents"; fail "the package lacks $file"; }
done
grep -q '/systemd/system/windlass.service$' "$folder/contents" || fail "the package lacks the unit"

# A fresh Debian to install it into.
if [[ $(id -u) != 0 ]] || ! command -v debootstrap > /dev/null || ! unshare --mount --propagation private true 2> /dev/null; then
    left_out "the package was not installed: that needs debootstrap, and root that may mount"
    exit
fi
debian=$folder/debian
if [[ ! -e $debian/complete ]]; then
    rm -rf "$debian"
    # From where this machine has its packages.
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | sort -u | head -n 1)
    # shellcheck disable=SC1091
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    if ! debootstrap --variant=minbase --include=ca-certificates,passwd "$release" "$debian" "${mirror:-http://deb.debian.org/debian}" \
        > "$folder/debootstrap.log" 2>&1; then
        tail -3 "$folder/debootstrap.log"
        left_out "the package was not installed: no Debian can be had"
        exit
    fi
    touch "$debian/complete"
fi
cp "$folder/windlass.deb" "$debian/windlass.deb"
chroot "$debian" dpkg --install /windlass.deb > "$folder/install.log" 2>&1 || { cat "$folder/install.log"; fail "it does not install"; }
[[ $(stat -c '%U:%a' "$debian/etc/windlass/windlass.toml") == root:640 ]] || fail "the configuration can be read by all"

# As the unit runs it: its user, no new privileges, nothing to write but the folder of the cache.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
admin=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
sed -i "s/127.0.0.1:8080/127.0.0.1:$port/; s/127.0.0.1:9080/127.0.0.1:$admin/" "$debian/etc/windlass/windlass.toml"
chroot "$debian" windlass check --config /etc/windlass/windlass.toml
unshare --mount --propagation private bash -c '
    set -e
    mount --bind "$0" "$0"
    mount -o remount,bind,ro "$0"
    mount -t tmpfs -o mode=1777 tmpfs "$0/var/cache"
    exec chroot "$0" setpriv --reuid windlass --regid windlass --init-groups --no-new-privs --bounding-set=-all \
        env XDG_CACHE_HOME=/var/cache windlass run --config /etc/windlass/windlass.toml' "$debian" > "$folder/run.log" 2>&1 &
running=$!
trap 'kill "$running" 2> /dev/null || true' EXIT
for _ in $(seq 100); do
    if answer=$(curl --silent --max-time 2 "http://127.0.0.1:$port/"); then break; fi
    kill -0 "$running" 2> /dev/null || { cat "$folder/run.log"; fail "the gateway ended"; }
    sleep 0.1
done
[[ ${answer-} == "Windlass runs."* ]] || { cat "$folder/run.log"; fail "the gateway does not answer"; }
kill -TERM "$running"
wait "$running" || { cat "$folder/run.log"; fail "the gateway did not drain"; }
trap - EXIT

# An upgrade keeps what the operator changed, and a purge leaves nothing but the user.
chroot "$debian" dpkg --install /windlass.deb >> "$folder/install.log" 2>&1
grep -q "127.0.0.1:$port" "$debian/etc/windlass/windlass.toml" || fail "an upgrade overwrote the configuration"
chroot "$debian" dpkg --purge windlass >> "$folder/install.log" 2>&1 || { cat "$folder/install.log"; fail "it does not uninstall"; }
[[ ! -e $debian/usr/bin/windlass && ! -e $debian/etc/windlass/windlass.toml ]] || fail "a purge leaves files"

left_out "the container image is not built: it takes Docker, a registry and ten minutes; the gateway ran as the image runs it"
echo "the package installs, runs and is purged; $(du -k "$folder/windlass.deb" | cut -f1) KiB"
