#!/usr/bin/env bash
# Stop the test cluster of slurm_up.sh, by the pids that it noted: jobs first, then the daemons. --purge removes its files.
set -uo pipefail
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
state=${GEMFOREST_SLURM_STATE:-/var/lib/gemforest-slurm}
pid_of() { # NAME: its pid where it is alive and is that program
    local pid
    pid=$(cat "$state/run/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] && echo "$pid"
}
if pid_of slurmctld >/dev/null; then
    jobs=$(squeue -h -o %A | sort -u)
    # shellcheck disable=SC2086
    [ -z "$jobs" ] || scancel --quiet $jobs
    for _ in $(seq 60); do
        [ -n "$(squeue -h)" ] || break
        sleep 0.5
    done
fi
left=0
for daemon in slurmd slurmctld munged; do
    pid=$(pid_of "$daemon") || continue
    kill "$pid"
    for _ in $(seq 150); do
        pid_of "$daemon" >/dev/null || break
        sleep 0.1
    done
    if pid_of "$daemon" >/dev/null; then
        echo "slurm_down: $daemon ($pid) does not stop" >&2
        left=1
    fi
done
if [ "${1:-}" = "--purge" ] && [ "$left" -eq 0 ]; then
    if head -n 1 /etc/slurm/slurm.conf 2>/dev/null | grep -qF "# gemforest test cluster"; then
        rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
    fi
    rm -rf -- "$state"
fi
[ "$left" -eq 0 ] && echo "slurm down"
exit "$left"
