# Sourced by start.sh and stop.sh: `check_limits KB` says in one line what Python could only say as a traceback.

# The memory that a process may take is raised as far as this shell may. `ulimit` counts in units of 1024 bytes.
check_limits() {
    local needed=$1 kind allowed
    for kind in d v; do
        ulimit -S -$kind "$(ulimit -H -$kind)"
        allowed=$(ulimit -$kind)
        if [ "$allowed" != unlimited ] && [ "$allowed" -lt "$needed" ]; then
            echo "punnet: a process may take $((allowed / 1024)) MiB of memory here (ulimit -$kind)," \
                "$((needed / 1024)) are needed: raise it with 'ulimit -$kind unlimited'" >&2
            return 1
        fi
    done
}
