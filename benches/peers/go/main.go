// The workloads in Go, for `bench compare`: goroutines, channels and the standard library, GOMAXPROCS as many as hubs.
//
//	go-peer sample WORKLOAD HUBS SIZE MILLISECONDS
//	go-peer serve HUBS MICROSECONDS
//
// Prints a line a figure, as the programs of the other runtimes do.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"time"
)

// What one sample is to do.
type sample struct {
	hubs int
	size int
	// About how long the measured part shall take; zero: once.
	span time.Duration
}

var programs = map[string]func(sample){
	"yield":            yields,
	"spawn-batch":      spawnBatch,
	"spawn-one":        spawnOne,
	"spawn-outside":    spawnBatch, // There is no outside: every thread is Go's.
	"skynet":           skynet,
	"fork-join":        forkJoin,
	"ping-pong":        pingPong,
	"ring":             ring,
	"mpmc":             mpmc,
	"mutex":            mutex,
	"sleep":            sleeping,
	"timeouts":         timeouts,
	"parked":           parked,
	"hog-yielding":     func(s sample) { beside(s, func() {}) },
	"hog-computing":    func(s sample) { beside(s, func() { compute(10 * time.Millisecond) }) },
	"rt-spawn-many":    spawnMany,
	"rt-spawn-busy":    spawnBusy,
	"rt-yield-many":    yields,
	"rt-ping-pong":     freshPairs,
	"rt-chained-spawn": chainedSpawn,
}

func main() {
	arguments := os.Args[1:]
	switch {
	case len(arguments) == 5 && arguments[0] == "sample":
		s := sample{number(arguments[2]), number(arguments[3]), time.Duration(number(arguments[4])) * time.Millisecond}
		program := programs[arguments[1]]
		if program == nil {
			fail("go has no program for " + arguments[1])
		}
		runtime.GOMAXPROCS(s.hubs)
		calibrate()
		program(s)
	case len(arguments) == 3 && arguments[0] == "serve":
		runtime.GOMAXPROCS(number(arguments[1]))
		calibrate()
		serve(time.Duration(number(arguments[2])) * time.Microsecond)
	default:
		fail("usage: go-peer sample WORKLOAD HUBS SIZE MILLISECONDS | serve HUBS MICROSECONDS")
	}
}

func number(text string) int {
	number, err := strconv.Atoi(text)
	if err != nil {
		fail(err.Error())
	}
	return number
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, "go-peer:", why)
	os.Exit(1)
}

func must(holds bool, why string) {
	if !holds {
		fail(why)
	}
}

// Repeats `run` as the other programs do: few rounds to warm up and to see how long one takes, then as many as fill
// the span; more, if they do not fill half. Prints nanoseconds per operation.
func (s sample) timed(perRound int, run func(rounds int)) {
	timed := func(rounds int) time.Duration {
		start := time.Now()
		run(rounds)
		return time.Since(start)
	}
	rounds := 1
	took := timed(rounds)
	for warm := s.span / 5; took < warm; took = timed(rounds) {
		factor := int(warm/max(took, 1)) + 1
		rounds *= min(max(factor, 2), 100)
	}
	for measured := s.span == 0; !measured; measured = took >= s.span/2 {
		rounds = max(1, int(s.span.Seconds()/took.Seconds()*float64(rounds)+0.999))
		took = timed(rounds)
	}
	fmt.Println("ns", took.Seconds()*1e9/float64(rounds)/float64(perRound))
}

func milliseconds(span time.Duration) {
	fmt.Println("ms", max(span, 0).Seconds()*1e3)
}

// The smallest reading that at least that share of all does not exceed; the readings are sorted.
func quantile(sorted []float64, share float64) float64 {
	rank := int(share*float64(len(sorted)) + 0.9999)
	return sorted[max(rank, 1)-1]
}

func late(readings []float64) {
	sort.Float64s(readings)
	fmt.Println("p50_us", quantile(readings, 0.5)*1e6)
	fmt.Println("p99_us", quantile(readings, 0.99)*1e6)
}

var roundsPerNanosecond float64

// Computing is work and not waiting for the clock, as in the other programs.
func calibrate() {
	const rounds = 100_000
	for range 50 {
		start := time.Now()
		spin(rounds)
		rate := rounds / float64(max(time.Since(start).Nanoseconds(), 1))
		roundsPerNanosecond = max(roundsPerNanosecond, rate)
	}
}

func compute(span time.Duration) {
	spin(int(float64(span.Nanoseconds()) * roundsPerNanosecond))
}

//go:noinline
func spin(rounds int) uint64 {
	x := uint64(0x9E3779B97F4A7C15)
	for range rounds {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}
