#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# t/sim/sim_disk.sh - the simulation at durability disk: 1,035 seeds, each set of faults its own part of them; and single
# seeds that were red once.
set -eu

sim=${SIM_NODE:-t/sim/sim_node}
seeds=${1:-115}
first=1
for faults in "kill_worker wills" "moves kill_worker" "kill_all power_cut resets wills" "moves full_disk slow_flush wills" \
    "pipes ghosts resets freeze moves wills" "moves disk_errors" "moves kill_store kill_flush slow_store" \
    "kill_worker kill_store kill_flush pipes" "moves kill_worker kill_store power_cut"; do
	SIM_DURABILITY=disk SIM_FAULTS="$faults" "$sim" "$seeds" "$first" 2>&1 | sed -n '/^sim_node: /p;/^again: /p' >sim_disk.out
	cat sim_disk.out
	grep -q "^sim_node: $seeds seeds" sim_disk.out
	first=$((first + seeds))
done
# "-": those that the seed chooses.
while read -r seed faults; do
	if [ "$faults" = - ]; then
		SIM_DURABILITY=disk "$sim" 1 "$seed" >sim_disk.out 2>&1 || { cat sim_disk.out; exit 1; }
	else
		SIM_DURABILITY=disk SIM_FAULTS="$faults" "$sim" 1 "$seed" >sim_disk.out 2>&1 || { cat sim_disk.out; exit 1; }
	fi
done <<END
746 moves kill_worker
853 moves kill_worker
1370 moves kill_worker
4135 -
5131 -
597 moves kill_worker kill_store kill_flush
119 kill_worker kill_store kill_flush pipes
271 moves kill_worker
42292 moves kill_worker
33972 moves disk_errors
32728 kill_worker kill_store kill_flush pipes
62501 moves kill_worker ghosts resets pipes freeze pause slow_store
3100 -
22351 -
30171 -
END
rm -f sim_disk.out
