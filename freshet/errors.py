"""What can go wrong in the local stack, each a one-line message that a person can act on.

FreshetError
├── JarError          a jar that cannot be fetched, or whose checksum differs from the lock
├── JavaError         no Java runtime where a setting says there is one, or too old a one
├── PortTaken         another program listens on a port of ours
├── NotReady          a component did not become healthy before its deadline
├── ComponentError    a step of a component (format, topics, `feast apply`, savepoint) failed
└── InputError        a file that `freshet import` or `replay` cannot read
"""


class FreshetError(Exception):
    """The root: the command line prints its text and exits with status 1."""


class JarError(FreshetError):
    pass


class JavaError(FreshetError):
    pass


class PortTaken(FreshetError):
    def __init__(self, name: str, port: int, setting: str, owner: str = "") -> None:
        by = f" by {owner}" if owner else ""
        super().__init__(f"port {port} of {name} is taken{by}: stop that program or set {setting} to a free port")
        self.port = port
        self.setting = setting


class NotReady(FreshetError):
    pass


class ComponentError(FreshetError):
    pass


class InputError(FreshetError):
    pass
