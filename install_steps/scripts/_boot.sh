# shellcheck shell=sh
# Services that a boot has to start.

# not_masked NAME: a service that is masked is so by an operator's word.
not_masked() {
    [ "$INIT" = systemd ] || return 0
    boot_state=$(systemctl is-enabled "$1.service" 2>/dev/null) || :
    case $boot_state in
        masked*) finish 78 masked \
            "service $1 is masked on this host, so it must not run: systemctl unmask $1.service" ;;
    esac
}

# boot_starts NAME: the service comes up by itself.
boot_starts() {
    case $INIT in
        systemd)
            boot_state=$(systemctl is-enabled "$1.service" 2>/dev/null) || :
            case $boot_state in
                disabled | '') ;;
                *) return 0 ;;
            esac
            CHANGED=true
            run systemctl enable --quiet "$1.service" >&2 ||
                finish 1 service "service $1 could not be enabled: see the message above"
            ;;
        *)
            # An upstart job starts by its own text.
            if [ -e "/etc/init/$1.conf" ] || [ ! -e "/etc/init.d/$1" ]; then return 0; fi
            ! find /etc/rc2.d -name "S[0-9][0-9]$1" 2>/dev/null | grep -q . || return 0
            CHANGED=true
            run update-rc.d "$1" defaults >&2 || finish 1 service "service $1 could not be enabled"
            ;;
    esac
    did "enabled service $1 at boot"
}
