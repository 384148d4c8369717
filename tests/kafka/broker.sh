#!/usr/bin/env bash
# Real Apache Kafka brokers (KRaft, combined roles) on loopback, for the tests.
#   broker.sh jars               resolve the jars once (Java and Maven needed)
#   broker.sh format DIR PORT…   lay out a cluster in DIR, one broker a port (PORT+1 is taken too): one or three
#   broker.sh run DIR NODE       run broker NODE (1, 2, …) of that cluster until it or stdin ends
#   broker.sh topics DIR …       Kafka's own topic tool against that cluster
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
jars=${ONRAMP_KAFKA_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/onramp-kafka-jars}

jars() {
  [ -e "$jars/.whole" ] && return
  mkdir -p "$jars"
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$jars" >&2
  touch "$jars/.whole"
}

java_main() { # DIR CLASS ARGS...
  local dir=$1
  shift
  exec java -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dlog4j2.configurationFile="$dir/logging.xml" -cp "$jars/*" "$@"
}

format() { # DIR PORT...
  local dir=$1 node=0 voters="" port replicas alive
  shift
  replicas=$#
  # With three, one may be away: what two have acknowledged stays.
  alive=$(($# == 3 ? 2 : 1))
  mkdir -p "$dir"
  cat >"$dir/logging.xml" <<'XML'
<Configuration status="WARN">
  <Appenders><Console name="console"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="console"/></Root></Loggers>
</Configuration>
XML
  for port in "$@"; do
    node=$((node + 1))
    voters+="${voters:+,}$node@127.0.0.1:$((port + 1))"
  done
  (IFS=,; echo "${*/#/127.0.0.1:}") >"$dir/bootstrap"
  id=$( (java_main "$dir" kafka.tools.StorageTool random-uuid))
  node=0
  for port in "$@"; do
    node=$((node + 1))
    cat >"$dir/$node.properties" <<PROPERTIES
process.roles=broker,controller
node.id=$node
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
controller.quorum.voters=$voters
log.dirs=$dir/$node
auto.create.topics.enable=false
default.replication.factor=$replicas
min.insync.replicas=$alive
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$alive
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
PROPERTIES
    (java_main "$dir" kafka.tools.StorageTool format -t "$id" -c "$dir/$node.properties" \
      --add-scram 'SCRAM-SHA-256=[name=onramp,password=right-password]') >"$dir/format-$node.log"
  done
}

run() { # DIR NODE
  # The broker lives as long as whoever holds our standard input, which a process in the background
  # has only by another number.
  exec 3<&0
  (java_main "$1" kafka.Kafka "$1/$2.properties") </dev/null 3<&- &
  broker=$!
  cat <&3 >/dev/null &
  reader=$!
  wait -n "$broker" "$reader" || true
  kill -KILL "$broker" "$reader" 2>/dev/null || true
}

command=${1:-}
shift || true
case $command in
  jars) jars ;;
  format) jars; format "$@" ;;
  run) run "$@" ;;
  topics) dir=$1; shift
    java_main "$dir" org.apache.kafka.tools.TopicCommand --bootstrap-server "$(cat "$dir/bootstrap")" "$@" ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
