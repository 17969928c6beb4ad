"""The workloads in gevent, for `bench compare`: greenlets on one thread.

    main.py sample WORKLOAD HUBS SIZE MILLISECONDS
    main.py serve HUBS MICROSECONDS

Prints a line a figure, as the programs of the other runtimes do. The number of hubs is not looked at.
"""

import math
import sys
import time

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from gevent.queue import Queue
from gevent.server import StreamServer

LONG_NAP = 0.2
NAP = 0.001
SLEEPERS = 100
STARVED = 2.0
SIDES = 4
CHILDREN = 10
# What a server reads at most: more than a message, as one that does not know what will come.
ROOM = 1024


def timed(span, per_round, run):
    """Few rounds to warm up and to see how long one takes, then as many as fill the span; more, if they do not fill half."""

    def once(rounds):
        start = time.perf_counter()
        run(rounds)
        return time.perf_counter() - start

    rounds = 1
    took = once(rounds)
    while took < span / 5:
        rounds *= min(max(math.ceil(span / 5 / took), 2), 100)
        took = once(rounds)
    measured = span == 0
    while not measured:
        rounds = max(1, math.ceil(span / took * rounds))
        took = once(rounds)
        measured = took >= span / 2
    print("ns", took * 1e9 / (rounds * per_round))


def milliseconds(seconds):
    print("ms", max(seconds, 0) * 1e3)


def late(readings):
    readings.sort()
    for name, share in (("p50_us", 0.5), ("p99_us", 0.99)):
        print(name, readings[max(math.ceil(share * len(readings)), 1) - 1] * 1e6)


def repeat(rounds, run):
    for _ in range(rounds):
        run()


def join(greenlets):
    gevent.joinall(greenlets, raise_error=True)


# Tasks that yield, end, and have children.


def yields(size, span):
    def yielding(rounds):
        for _ in range(rounds):
            gevent.sleep(0)

    timed(span, size, lambda rounds: join([gevent.spawn(yielding, rounds) for _ in range(size)]))


def batch(size):
    join([gevent.spawn(lambda: None) for _ in range(size)])


def spawn_batch(size, span):
    timed(span, size, lambda rounds: repeat(rounds, lambda: batch(size)))


def spawn_one(size, span):
    timed(span, 1, lambda rounds: repeat(rounds, lambda: gevent.spawn(lambda: None).join()))


def skynet(size, span):
    def node(answer, number, leaves):
        if leaves > 1:
            answers = Queue(CHILDREN)
            each = leaves // CHILDREN
            for child in range(CHILDREN):
                gevent.spawn(node, answers, number + child * each, each)
            number = sum(answers.get() for _ in range(CHILDREN))
        answer.put(number)

    start = time.perf_counter()
    answer = Queue(1)
    gevent.spawn(node, answer, 0, size)
    assert answer.get() == size * (size - 1) // 2, "every leaf answers once"
    milliseconds(time.perf_counter() - start)


def spawn_many(size, span):
    def all_of_them():
        done, left = Event(), [size]

        def end():
            left[0] -= 1
            if left[0] == 0:
                done.set()

        for _ in range(size):
            gevent.spawn(end)
        done.wait()

    timed(span, size, lambda rounds: repeat(rounds, all_of_them))


def chained_spawn(size, span):
    def chain():
        done = Event()

        def link(left):
            if left == 0:
                done.set()
            else:
                gevent.spawn(link, left - 1)

        link(size)
        done.wait()

    timed(span, size, lambda rounds: repeat(rounds, chain))


# Tasks that wait for each other.


def ping_pong(size, span):
    def echo(ping, pong):
        while (number := ping.get()) is not None:
            pong.put(number)

    def play(ping, pong, rounds):
        for number in range(rounds):
            ping.put(number)
            assert pong.get() == number, "the ball was lost"
        ping.put(None)

    def pairs(rounds):
        greenlets = []
        for _ in range(size):
            ping, pong = Queue(1), Queue(1)
            greenlets += [gevent.spawn(echo, ping, pong), gevent.spawn(play, ping, pong, rounds)]
        join(greenlets)

    timed(span, size, pairs)


def ring(size, span):
    def link(receiver, following):
        while (left := receiver.get()) > 0:
            following.put(left - 1)
        # Who ends, ends the next one, and so round the ring.
        following.put(0)

    def tour(passes):
        links = [Queue() for _ in range(size)]
        greenlets = [gevent.spawn(link, links[n], links[(n + 1) % size]) for n in range(size)]
        links[0].put(passes)
        join(greenlets)

    timed(span, 1, tour)


def mpmc(size, span):
    def send(messages, each):
        for number in range(each):
            messages.put(number)

    def receive(messages):
        count = 0
        while messages.get() is not None:
            count += 1
        return count

    def exchange(each):
        messages = Queue(size)
        senders = [gevent.spawn(send, messages, each) for _ in range(SIDES)]
        receivers = [gevent.spawn(receive, messages) for _ in range(SIDES)]
        join(senders)
        for _ in range(SIDES):
            messages.put(None)
        assert sum(receiver.get() for receiver in receivers) == SIDES * each, "every message is received once"

    timed(span, SIDES, exchange)


def mutex(size, span):
    def add_together(each):
        lock, number = BoundedSemaphore(1), [0]

        def add():
            for _ in range(each):
                with lock:
                    number[0] += 1

        join([gevent.spawn(add) for _ in range(size)])
        assert number[0] == size * each, "the lock keeps others out"

    timed(span, size, add_together)


# Tasks that wait for the clock, or for nothing.


def sleeping(size, span):
    start = time.perf_counter()
    join([gevent.spawn(gevent.sleep, LONG_NAP) for _ in range(size)])
    milliseconds(time.perf_counter() - start - LONG_NAP)


def timeouts(size, span):
    def in_time():
        with gevent.Timeout(60):
            gevent.sleep(0)

    timed(span, 1, lambda rounds: repeat(rounds, in_time))


def resident():
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) << 10


def parked(size, span):
    never, kept = Event(), []

    def park(count):
        kept.extend([gevent.spawn(never.wait) for _ in range(count)])
        gevent.sleep(0.01)

    park(100)
    before = resident()
    park(size)
    print("bytes", max(resident() - before, 0) / size)


def beside(span, step):
    over = Event()
    start = time.perf_counter()

    def take_turns():
        while not over.is_set() and time.perf_counter() - start < STARVED:
            step()
            gevent.sleep(0)
        over.set()

    def nap():
        if over.is_set():
            return STARVED
        start = time.perf_counter()
        gevent.sleep(NAP)
        return max(time.perf_counter() - start - NAP, 0)

    sleeps = max(int(span * 1000) * 2 // 3, 2)
    hog = gevent.spawn(take_turns)
    sleepers = [gevent.spawn(lambda: [nap() for _ in range(sleeps)]) for _ in range(SLEEPERS)]
    readings = [reading for sleeper in sleepers for reading in sleeper.get()]
    over.set()
    hog.join()
    late(readings)


def compute():
    end = time.perf_counter() + 0.01
    while time.perf_counter() < end:
        pass


def serve():
    def echo(connection, _address):
        while data := connection.recv(ROOM):
            connection.sendall(data)

    def accepted(connection, address):
        try:
            echo(connection, address)
        except ConnectionError:
            pass  # The client leaves in the end, one way or another.

    server = StreamServer(("127.0.0.1", 0), accepted, backlog=1024)
    server.start()
    print("port", server.server_port, flush=True)
    server.serve_forever()


PROGRAMS = {
    "yield": yields,
    "spawn-batch": spawn_batch,
    "spawn-one": spawn_one,
    "skynet": skynet,
    "ping-pong": ping_pong,
    "ring": ring,
    "mpmc": mpmc,
    "mutex": mutex,
    "sleep": sleeping,
    "timeouts": timeouts,
    "parked": parked,
    "hog-yielding": lambda size, span: beside(span, lambda: None),
    "hog-computing": lambda size, span: beside(span, compute),
    "rt-spawn-many": spawn_many,
    "rt-chained-spawn": chained_spawn,
}


def main(arguments):
    match arguments:
        case ["sample", workload, _hubs, size, milliseconds] if workload in PROGRAMS:
            PROGRAMS[workload](int(size), int(milliseconds) / 1000)
        case ["serve", _hubs, "0"]:
            serve()
        case _:
            sys.exit("usage: main.py sample WORKLOAD HUBS SIZE MILLISECONDS | serve HUBS 0")


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    # To end a million greenlets in good order measures nothing more.
    import os

    os._exit(0)
