"""A JupyterHub for a class on one Linux machine, without containers. The machine and the hub run as root.

Each learner has a system account and a network namespace. In it, the ports of localhost belong to this learner alone:
no program of another learner can connect to them, and neither can the proxy in another learner's server.
"""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from jupyterhub.spawner import LocalProcessSpawner

HERE = Path(__file__).resolve().parent
BRIDGE = "10.77.0.1"  # the address of this machine for the learners' servers; see namespace.sh
EVERYWHERE = "http://:8000"  # every address of this machine
URL = os.environ.get("WORKSHOP_HUB_URL", EVERYWHERE)
STATE = Path(os.environ.get("WORKSHOP_HUB_STATE", "/var/lib/fc-workshop"))  # users, passwords, cookies


class NamespaceSpawner(LocalProcessSpawner):
    """Start the server of a learner as the account `fc-NAME` in the network namespace `fc-NAME`."""

    @property
    def account(self):
        return f"fc-{self.user.name}"

    async def start(self):
        prepare = await asyncio.create_subprocess_exec(HERE / "namespace.sh", self.account, stdout=subprocess.PIPE)
        address, _ = await prepare.communicate()
        if prepare.returncode != 0:
            raise RuntimeError(f"namespace.sh could not prepare {self.account}; its message is in the hub's log")
        self.ip = address.decode().strip()
        self.cmd = ["ip", "netns", "exec", self.account,
                    "setpriv", f"--reuid={self.account}", f"--regid={self.account}", "--init-groups", "--no-new-privs",
                    str(HERE / "learner.sh"), "jupyterhub-singleuser"]
        return await super().start()

    def make_preexec_fn(self, name):
        return None  # setpriv changes the user, after the namespace was entered as root

    def user_env(self, env):
        entry = pwd.getpwnam(self.account)
        return {**env, "USER": self.account, "HOME": entry.pw_dir, "SHELL": entry.pw_shell}

    async def stop(self, now=False):
        """Stop the server, then what it has left running: fclocal and the learner's functions."""
        await super().stop(now)
        await (await asyncio.create_subprocess_exec("pkill", "-KILL", "-u", self.account)).wait()


def refuse_what_cannot_work():
    """Exit with one line if the hub could not start a server for any learner."""
    if os.geteuid() != 0:
        sys.exit("The hub starts servers for other accounts. Run it as root, for example with sudo.")
    if missing := [name for name in ("ip", "bridge", "setpriv", "useradd", "pkill") if not shutil.which(name)]:
        sys.exit(f"The hub needs these programs: {', '.join(missing)}. Run: apt-get install iproute2 procps passwd")
    if URL == EVERYWHERE:
        try:
            socket.gethostbyname(name := socket.gethostname())
        except OSError:
            sys.exit(f"The hub calls its proxy by the name of this machine, but {name} has no address. "
                     f"Run: echo 127.0.1.1 {name} >>/etc/hosts")
    for path in (HERE, Path(sys.base_prefix)):
        if private := [folder for folder in (path, *path.parents) if not folder.stat().st_mode & 0o001]:
            sys.exit(f"Learners cannot read {path}, because {private[-1]} is private. "
                     "Put the kit in /opt/workshop, and run install.sh there with a Python of the system.")


refuse_what_cannot_work()
c = get_config()  # noqa: F821
STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
subprocess.run([HERE / "namespace.sh", "bridge"], check=True)

c.JupyterHub.bind_url = URL
c.JupyterHub.hub_ip = BRIDGE
c.JupyterHub.db_url = f"sqlite:///{STATE / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")
c.ConfigurableHTTPProxy.command = [str(HERE / "node_modules/.bin/configurable-http-proxy")]
c.ConfigurableHTTPProxy.pid_file = str(STATE / "proxy.pid")

# The first password that a learner types stays the password. Stop the hub's registration when all have signed in:
# set create_users to False.
c.JupyterHub.authenticator_class = "firstuseauthenticator.FirstUseAuthenticator"
c.FirstUseAuthenticator.create_users = True
c.FirstUseAuthenticator.dbm_path = str(STATE / "passwords.dbm")
c.Authenticator.allow_all = True
c.Authenticator.username_pattern = "[a-z][a-z0-9]{0,20}"  # the rest of a name of a system account
c.Authenticator.admin_users = set(filter(None, os.environ.get("WORKSHOP_HUB_ADMINS", "").split(",")))

c.JupyterHub.spawner_class = NamespaceSpawner
c.Spawner.default_url = "/lab/tree/notebooks/00-start.ipynb"
c.Spawner.start_timeout = 120
