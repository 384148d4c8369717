#!/usr/bin/env bash
# One real Apache Kafka broker (KRaft, combined roles) on loopback, for the tests.
#   broker.sh jars               resolve the jars once (Java and Maven needed)
#   broker.sh run DIR PORT       format DIR and run the broker on PORT (PORT+1 too) until stdin ends
#   broker.sh topics DIR PORT …  Kafka's own topic tool against that broker
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
jars=${ONRAMP_KAFKA_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/onramp-kafka-jars}

jars() {
  [ -e "$jars/.whole" ] && return
  mkdir -p "$jars"
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$jars" >&2
  touch "$jars/.whole"
}

logging() {
  cat >"$1/logging.xml" <<'XML'
<Configuration status="WARN">
  <Appenders><Console name="console"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="console"/></Root></Loggers>
</Configuration>
XML
}

java_main() { # DIR CLASS ARGS...
  local dir=$1
  shift
  exec java -Xms128m -Xmx512m -XX:+UseSerialGC -Dlog4j2.configurationFile="$dir/logging.xml" -cp "$jars/*" "$@"
}

run() { # DIR PORT
  local dir=$1 port=$2
  mkdir -p "$dir"
  logging "$dir"
  if [ ! -e "$dir/broker.properties" ]; then
    cat >"$dir/broker.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$((port + 1))
log.dirs=$dir/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
PROPERTIES
    id=$( (java_main "$dir" kafka.tools.StorageTool random-uuid))
    (java_main "$dir" kafka.tools.StorageTool format -t "$id" -c "$dir/broker.properties") >"$dir/format.log"
  fi
  # The broker lives as long as whoever holds our standard input.
  (java_main "$dir" kafka.Kafka "$dir/broker.properties") </dev/null &
  broker=$!
  cat >/dev/null
  kill -KILL "$broker"
}

command=${1:-}
shift || true
case $command in
  jars) jars ;;
  run) jars; run "$@" ;;
  topics) dir=$1 port=$2; shift 2
    java_main "$dir" org.apache.kafka.tools.TopicCommand --bootstrap-server "127.0.0.1:$port" "$@" ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
