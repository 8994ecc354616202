"""A function in Lambda's own runtime interface: in the folders, and the environment, that it has on Lambda.

The runtime interface is aws-lambda-rie, which comes with the SAM command line, and awslambdaric, which on Lambda is a
part of the python3.13 runtime. The layers are in ``/opt``, the function in ``/var/task``, the interpreter in
``/var/lang``. The processes have a root folder of their own, so this machine's folders of these names stay as they are.
They see the system's libraries, the layers' packages, and an empty ``/tmp``. The first two are read-only, as on Lambda.

It takes Linux with util-linux (`unshare`, `setpriv`, `mount`), and root's rights or user namespaces. A plain container
has neither. Then `LambdaRuntime` raises an error, or works without mounts (`in_place`). In that case the same folders
are below a scratch folder, and the interpreter looks only there. They can be written to, and this machine's folders can
be seen.

The timeout is enforced, memory is not. A function may connect to all that this machine reaches.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.child import Child, free_ports
from local.ministack import REGION
from local.paths import BUILD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[1]
LAYERS = (BUILD / "CubeLayer", BUILD / "DependenciesLayer")
CLIENT = ROOT / ".venv-runtime" / "lib" / "python3.13" / "site-packages"
EMULATORS = {"x86_64": "x86_64", "aarch64": "arm64"}

_INVOCATIONS = "/2015-03-31/functions/function/invocations"

# Lambda's own variables, as the python3.13 runtime has them, if its folders are below `{root}`. awslambdaric comes last
# and hides nothing of a layer.
_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_FUNCTION_NAME": "cube-sms-function",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_SESSION_TOKEN": "test",
    "LAMBDA_RUNTIME_DIR": "{root}/var/runtime",
    "LAMBDA_TASK_ROOT": "{root}/var/task",
    "LANG": "en_US.UTF-8",
    "LD_LIBRARY_PATH": "{root}/var/lang/lib:/lib64:/usr/lib64:{root}/var/runtime:{root}/var/runtime/lib:{root}/var/task"
    ":{root}/var/task/lib:{root}/opt/lib",
    "PATH": "{root}/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:{root}/opt/bin",
    "PYTHONPATH": "{root}/opt/python/lib/python3.13/site-packages:{root}/opt/python:{root}/var/runtime",
    "TZ": ":UTC",
}

# -S and -s leave out every site-packages, so that only what is on PYTHONPATH can be imported.
_PYTHON = ("{root}/var/lang/bin/python3.13", "-S", "-s", "-m", "awslambdaric")

# Options of `unshare`, of which the first that works is taken. A mount namespace needs root, and the creator of a user
# namespace is root in it.
_NAMESPACES = (("--mount",), ("--mount", "--map-root-user"))

# The processes end with the first of them (--kill-child), and that one with us (--pdeathsig).
_UNSHARE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child")

# Without a namespace, the emulator ends with us, and sees to the function's process, which is in a group of its own.
_IN_PLACE: tuple[str, ...] = ("setpriv", "--pdeathsig", "TERM")

_BEGIN = """
set -eu
root=$1 python=$2 client=$3 emulator=$4 function=$5 layers=$6
shift 6
"""

# Lambda's folders, in the folder that is to be the root. `attach` puts a folder of this machine in the place of one.
_FILL = """
mkdir -p opt var/lang var/rapid var/runtime var/task
attach "$python" var/lang
cp -R "$client/." var/runtime
cp "$emulator" var/rapid/aws-lambda-rie
cp -R "$function/." var/task
if [ -d "$layers" ]; then
    # A single one stays on its disk, where it can be cold.
    attach "$layers" opt
else
    # In the order that the function names them: of two files of one name, Lambda has the later layer's.
    printf '%s\\n' "$layers" | while IFS= read -r layer; do cp -R "$layer/." opt; done
fi
"""

# What a function is started with. The root folder is in memory, and read-only when it is complete. Of this machine it
# has only the system. That is read-only too, except for mounts that a user namespace may not change.
_IN_ITS_OWN_ROOT = f"""
{_BEGIN}
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir dev proc tmp
attach() {{
    mount --rbind "$1" "$2"
    mount -o remount,bind,ro "$2" 2>/dev/null || true
}}
for folder in bin etc lib lib32 lib64 sbin usr; do
    if [ -L "/$folder" ]; then
        cp -P "/$folder" .
    elif [ -d "/$folder" ]; then
        mkdir "$folder"
        attach "/$folder" "$folder"
    fi
done
mount --rbind /dev dev
mount -t proc proc proc 2>/dev/null || true
{_FILL}
mount -t tmpfs tmpfs tmp
mount -o remount,bind,ro "$root"
cd "$root"
exec chroot . /bin/sh -c 'cd /var/task && exec env -i "$@"' sh "$@"
"""

_BELOW_A_FOLDER = f"""
{_BEGIN}
cd "$root"
attach() {{
    rmdir "$2"
    ln -s "$1" "$2"
}}
{_FILL}
cd var/task
exec env -i "$@"
"""


class FunctionError(Exception):
    """The function could not be imported, raised an exception, or ended without an answer."""


class FunctionTimeoutError(FunctionError):
    """The function was cut off when its time was over."""


class LambdaRuntime(Child):
    """An execution environment of a function, for as long as this context, or until `stop`.

    Its process starts with the first invocation. One that was cut off is started again by the next.

    Parameters
    ----------
    function : Path
        The function's code, such as a folder of the build.
    environment : Mapping[str, str]
        The variables that the function is deployed with. It has these, Lambda's own, and none of ours.
    timeout : int
        Seconds until an invocation is cut off.
    handler : str
        Name of the handler.
    layers : sequence of Path
        Its layers, those of the build by default.
    in_place : bool
        Whether it does without mounts.

    Raises
    ------
    RuntimeError
        If this machine cannot run it; the message says what is missing.

    Examples
    --------
    >>> with LambdaRuntime(BUILD / "SendFromQueueFunction", environment, timeout=60) as function:
    ...     function.invoke({"Records": []})
    {'batchItemFailures': []}
    """

    def __init__(
        self,
        function: Path,
        environment: Mapping[str, str],
        timeout: int,
        *,
        handler: str = "app.handler",
        layers: Sequence[Path] = LAYERS,
        in_place: bool = False,
    ) -> None:
        emulator = _emulator()
        if missing := [
            str(path) for path in (function, *layers, CLIENT / "awslambdaric", emulator) if not path.exists()
        ]:
            raise RuntimeError(f"nothing there: {', '.join(missing)}; `make test` installs and builds it")
        if in_place:
            start, script = _IN_PLACE, _BELOW_A_FOLDER
            super().__init__("Lambda's runtime interface")
        else:
            start, script = (*_UNSHARE, *_namespace()), _IN_ITS_OWN_ROOT
            # The first process of the namespace is in this group, and when it ends the kernel kills all others.
            super().__init__("Lambda's runtime interface", stop_signals=[signal.SIGKILL])
        self._timeout = timeout
        self._port, runtime_port = free_ports(2)
        self._one_at_a_time = threading.Lock()
        root = Path(self._scratch.name, "root")
        root.mkdir()
        self.root = str(root) if in_place else ""
        """What Lambda's folders are below."""
        own = {name: value.format(root=self.root) for name, value in _ENVIRONMENT.items()}
        variables = {**own, **environment, "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout)}
        interface = [f"{self.root}/var/rapid/aws-lambda-rie"]
        interface += ["--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"]
        interface += ["--runtime-api-address", f"127.0.0.1:{runtime_port}"]
        python = [part.format(root=self.root) for part in _PYTHON]
        started = [*(f"{name}={value}" for name, value in variables.items()), *interface, *python, handler]
        folders = [root, sys.base_prefix, CLIENT, emulator, function, "\n".join(map(str, layers))]
        command = [*start, "sh", "-c", script, "sh", *map(str, folders), *started]
        self._start(command, {"PATH": _path()}, timeout=60.0)

    def invoke(self, event: Any) -> Any:
        """Invoke the function, as soon as it has answered the invocation before.

        Parameters
        ----------
        event : Any
            Its event.

        Returns
        -------
        Any
            What the handler returned.

        Raises
        ------
        FunctionTimeoutError
            If it ran into its timeout.
        FunctionError
            If it has no answer for another reason; the message ends with what was printed.
        """
        # The emulator crashes on a second call while there is one.
        with self._one_at_a_time:
            connection = HTTPConnection("127.0.0.1", self._port, timeout=self._timeout + 30)
            try:
                connection.request("POST", _INVOCATIONS, json.dumps(event))
                answer = connection.getresponse()
                text = answer.read().decode()
            except (OSError, HTTPException) as error:
                raise FunctionError(f"{error!r}\n{self.log()}") from error
            finally:
                connection.close()
        if text.startswith("Task timed out after"):
            raise FunctionTimeoutError(text)
        try:
            returned = json.loads(text)
        except ValueError:
            raise FunctionError(f"HTTP {answer.status}: {text}\n{self.log()}") from None
        if isinstance(returned, dict) and {"errorType", "errorMessage"} <= returned.keys():
            raise FunctionError(f"{returned['errorType']}: {returned['errorMessage']}\n{self.log()}")
        return returned

    def _connect(self) -> None:
        socket.create_connection(("127.0.0.1", self._port), timeout=1).close()


def _emulator() -> Path:
    if platform.system() != "Linux" or platform.machine() not in EMULATORS:
        raise RuntimeError(f"Lambda's runtime interface runs on Linux with {' or '.join(EMULATORS)}, and not here")
    name = f"aws-lambda-rie-{EMULATORS[platform.machine()]}"
    packages = ROOT / ".venv-sam" / "lib" / "python3.13" / "site-packages"
    return packages / "samcli" / "local" / "rapid" / name


def why_no_mounts() -> str:
    """Return why a function can run here in place alone, as a sentence; nothing where mounts are to be had."""
    try:
        _namespace()
    except RuntimeError as error:
        return str(error)
    return ""


@cache
def _namespace() -> tuple[str, ...]:
    """Return the options of `unshare` that work here."""
    if missing := [name for name in ("setpriv", "unshare", "mount", "chroot") if not shutil.which(name, path=_path())]:
        raise RuntimeError(
            f"to run a function as Lambda does takes {', '.join(missing)}: install util-linux, coreutils"
        )
    refusals = []
    for options in _NAMESPACES:
        tried = subprocess.run(
            [*_UNSHARE, *options, "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()],
            env={"PATH": _path()},
            capture_output=True,
            text=True,
            check=False,
        )
        if not tried.returncode:
            return options
        refusals.append(f"  unshare {' '.join(options)}: {tried.stderr.strip()}")
    raise RuntimeError(
        "to run a function as Lambda does takes a mount namespace, and this machine gives none. Run the tests as root"
        " (in a container: with CAP_SYS_ADMIN), or allow user namespaces: sysctl user.max_user_namespaces=10000, and"
        " where they exist kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0.\n"
        + "\n".join(refusals)
    )


def _path() -> str:
    # The folder of `chroot` may be missing in a user's own path.
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/bin:/sbin:/bin"
