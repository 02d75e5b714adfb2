# shellcheck shell=sh
# Files of the package that are gone or have another content, one a line; not its settings, its
# documents, and what the SDC fetches for its kernel.
damage() {
    case $FAMILY in
        deb) run timeout 300 dpkg --verify "$1" ;;
        rpm) run timeout 300 rpm --verify "$1" ;;
    esac 2>/dev/null |
        sed -n -e '/^[^ ]* *c \//d' -e '/ \/usr\/share\//d' -e '/ \/bin\/emc\//d' \
            -e '/ \/opt\/emc\/scaleio\/[^ ]*\/cfg\//d' \
            -e '/^missing/p' -e '/^..5/p'
}

# Some packages are never as their list says: what was so when we left it is not damage.
is_damaged() {
    damage "$1" >"$WORK/damage" || :
    if [ -e "$STATE_DIR/verified/$1" ]; then
        grep -v -x -F -f "$STATE_DIR/verified/$1" "$WORK/damage" >"$WORK/damage.new" || :
    else
        grep -e '^missing' "$WORK/damage" >"$WORK/damage.new" || :
    fi
    [ -s "$WORK/damage.new" ]
}

# remember_package COMPONENT: at the end of a step, when its services have run.
remember_package() {
    remember_name=$(package_name "$1")
    if [ "$ACTION" != none ] || [ ! -e "$STATE_DIR/verified/$remember_name" ]; then
        mkdir -p "$STATE_DIR/verified"
        damage "$remember_name" >"$WORK/damage" || :
        install_file 0600 "$WORK/damage" "$STATE_DIR/verified/$remember_name"
    fi
    remember_version=$(whole_versions "$remember_name" | tail -n 1)
    [ -n "$remember_version" ] || return 0
    if [ "$ACTION" = install ] || is_recorded "$remember_name"; then
        record_package "$remember_name" "$remember_version"
    fi
}
