"""What `study.engines.ray_engine` asks of Ray, in threads of this process.

Actors whose calls and answers are pickled, and can be killed.
"""

import pickle
import threading
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from types import SimpleNamespace


class RayError(Exception):
    pass


class OutOfMemoryError(RayError):
    pass


class Actor:
    def __init__(self, ray, kind, arguments):
        self.ray, self.pending, self.killed, self.lock = ray, set(), None, threading.Lock()
        self.instance = kind(*pickle.loads(pickle.dumps(arguments)))

    def __getattr__(self, name):
        return SimpleNamespace(remote=lambda *arguments: self.call(name, pickle.dumps(arguments)))

    def call(self, name, arguments):
        future = Future()
        if self.killed:
            future.set_exception(self.killed)
            return future
        self.pending.add(future)

        def work():
            answer = pickle.dumps(getattr(self.instance, name)(*pickle.loads(arguments)))
            with self.lock:
                if not self.killed:
                    self.pending.discard(future)
                    future.set_result(answer)
        threading.Thread(target=work, daemon=True).start()
        return future

    def kill(self, error):
        with self.lock:
            self.killed = error
            for future in self.pending:
                future.set_exception(error)
        self.instance.asked.set()           # its thread goes no further
        self.instance.answers.put(None)


class FakeRay:
    exceptions = SimpleNamespace(RayError=RayError, OutOfMemoryError=OutOfMemoryError)

    def __init__(self, cpus):
        self.cpus, self.asked = cpus, []

    def remote(self, kind):
        return SimpleNamespace(options=lambda **options: self.asked.append(options) or SimpleNamespace(
            remote=lambda *arguments: Actor(self, kind, arguments)))

    def wait(self, futures, num_returns=1, timeout=None):
        wait_for(futures, timeout, FIRST_COMPLETED)
        done = [future for future in futures if future.done()]
        return done[:num_returns], [future for future in futures if future not in done[:num_returns]]

    def get(self, future):
        return pickle.loads(future.result())

    def kill(self, actor, error=None):
        actor.kill(error or RayError("the actor died"))

    def cluster_resources(self):
        return {"CPU": float(self.cpus)}
