"""Errors of the local stack and its commands, each with a one-line message that says what to do.

FreshetError (the project's root, in schemas)
└── StackError
    ├── JarError          a jar that cannot be fetched, or whose checksum differs from the lock
    ├── JavaError         no Java runtime where a setting says there is one, or too old a one
    ├── PortTaken         another program listens on a port of ours
    ├── NotReady          a component did not become healthy before its deadline
    ├── ComponentError    a step of a component (format, topics, `feast apply`) failed, or none has that name
    ├── FeaturesError     `freshet features` cannot do what it was asked to
    ├── DigestsError      `freshet digests` cannot send: Kafka or the store is away, or another run took over
    ├── RulesError        `freshet rules` cannot: there is nothing to try
    ├── ServerError       the server does not answer a command, or refuses what it asks
    └── InputError        a file that cannot be read, or an argument that a command cannot do without
"""

from schemas.errors import FreshetError


class StackError(FreshetError):
    pass


class JarError(StackError):
    pass


class JavaError(StackError):
    pass


class PortTaken(StackError):
    def __init__(self, name: str, port: int, setting: str, owner: str = "") -> None:
        by = f" by {owner}" if owner else ""
        super().__init__(f"port {port} of {name} is taken{by}: stop that program or set {setting} to a free port")
        self.port = port
        self.setting = setting


class NotReady(StackError):
    pass


class ComponentError(StackError):
    pass


class FeaturesError(StackError):
    pass


class DigestsError(StackError):
    pass


class RulesError(StackError):
    pass


class ServerError(StackError):
    pass


class InputError(StackError):
    pass
