# shellcheck shell=sh disable=SC2046 # process ids are words
# Ends the processes of one sandbox when its owner has ended, in whatever way.
# $1: the folder of the sandbox. Standard input: a pipe whose other end only the owner holds.
#
# What runs in a folder belongs to it: every server is started with its working directory below the
# folder and stays there, also what has left its parent (PostgreSQL under Patroni) and what started
# while its owner died.
folder=$1
trap '' HUP INT TERM
cat >/dev/null

members() {
  find /proc/[0-9]*/cwd -maxdepth 0 \( -lname "$folder" -o -lname "$folder/*" \) 2>/dev/null | cut -d / -f 3
}
send() { # SIGNAL PID...
  name=$1; shift
  [ $# = 0 ] || kill -s "$name" "$@" 2>/dev/null
}
postmasters() { find "$folder" -maxdepth 4 -name postmaster.pid 2>/dev/null; }

# Patroni first, or it starts PostgreSQL again. A frozen process would hold up the shutdown.
send CONT $(members)
for pid in $(members); do
  [ -e "/proc/$pid/cwd/PG_VERSION" ] || send KILL "$pid"
done
# A postmaster that is asked to quit takes its children and its shared memory with it.
for file in $(postmasters); do
  read -r pid <"$file" || continue
  [ "$(readlink "/proc/$pid/cwd")" = "${file%/postmaster.pid}" ] && send QUIT "$pid"
done
round=0
while [ -n "$(members)" ] && [ $round -lt 100 ]; do
  [ $round -lt 60 ] || send KILL $(members)
  sleep 0.05
  round=$((round + 1))
done
# A postmaster that was killed has left its System V segment: the last number of the seventh line.
for file in $(postmasters); do
  segment=$(sed -n '7s/.* //p' "$file")
  [ -z "$segment" ] || ipcrm -m "$segment" 2>/dev/null
done
rm -rf "$folder"
