"""The supervisor of `tolqyn up` itself, with two differences: the broker has one more listener, which it advertises as a proxy's
address, and the services named in CHAOS_THROUGH reach broker and database through proxies only.
"""

import os
import sys
from dataclasses import replace

from tools.stack import processes, supervisor
from tools.stack.embedded import kafka
from tools.stack.embedded.ports import LOOPBACK
from tools.stack.keeper import Keeper

LISTENER_PORT, BROKER_PROXY, DATABASE_PROXY = "CHAOS_LISTENER_PORT", "CHAOS_BROKER_PROXY", "CHAOS_DATABASE_PROXY"
THROUGH = "CHAOS_THROUGH"


class ProxiedKafka(kafka.EmbeddedKafka):
    """With the listener PROXIED: clients that connect to it are told to come back through the proxy."""

    def prepare(self) -> None:
        super().prepare()
        path = self.home / "server.properties"
        lines = []
        for line in path.read_text("utf-8").splitlines():
            name = line.partition("=")[0]
            more = {
                "listeners": f",PROXIED://{LOOPBACK}:{os.environ[LISTENER_PORT]}",
                "advertised.listeners": f",PROXIED://{LOOPBACK}:{os.environ[BROKER_PROXY]}",
                "listener.security.protocol.map": ",PROXIED:PLAINTEXT",
            }
            lines.append(line + more.get(name, ""))
        path.write_text("\n".join(lines) + "\n", "utf-8")


class ProxiedSupervisor(supervisor.Supervisor):
    """Sends some services through the proxies."""

    def _keeper(self, program: processes.Program) -> Keeper:
        if program.name in os.environ[THROUGH].split(","):
            start, _, rest = program.env["DATABASE_URL"].rpartition(":")
            database = f"{start}:{os.environ[DATABASE_PROXY]}/{rest.partition('/')[2]}"
            broker = f"{LOOPBACK}:{os.environ[BROKER_PROXY]}"
            program = replace(program, env={**program.env, "DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": broker})
        return super()._keeper(program)


if __name__ == "__main__":
    kafka.EmbeddedKafka = ProxiedKafka  # type: ignore[misc]
    supervisor.Supervisor = ProxiedSupervisor  # type: ignore[misc]
    sys.exit(supervisor.main())
