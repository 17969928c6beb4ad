package main

import "sync"

func pingPong(s sample) {
	s.timed(s.size, func(rounds int) {
		var all sync.WaitGroup
		all.Add(2 * s.size)
		for range s.size {
			ping, pong := make(chan int, 1), make(chan int, 1)
			go func() {
				for number := range ping {
					pong <- number
				}
				all.Done()
			}()
			go func() {
				for round := range rounds {
					ping <- round
					must(<-pong == round, "the ball was lost")
				}
				close(ping)
				all.Done()
			}()
		}
		all.Wait()
	})
}

func ring(s sample) {
	s.timed(1, func(passes int) {
		links := make([]chan int, s.size)
		for n := range links {
			links[n] = make(chan int, 1)
		}
		var all sync.WaitGroup
		all.Add(s.size)
		for n := range links {
			receiver, next := links[n], links[(n+1)%s.size]
			go func() {
				for left := range receiver {
					if left == 0 {
						break
					}
					next <- left - 1
				}
				// Who ends, ends the next one, and so round the ring.
				close(next)
				all.Done()
			}()
		}
		links[0] <- passes
		all.Wait()
	})
}

const sides = 4

func mpmc(s sample) {
	s.timed(sides, func(each int) {
		messages := make(chan int, s.size)
		var senders, receivers sync.WaitGroup
		senders.Add(sides)
		receivers.Add(sides)
		received := make([]int, sides)
		for side := range sides {
			go func() {
				for message := range each {
					messages <- message
				}
				senders.Done()
			}()
			go func() {
				count := 0
				for range messages {
					count++
				}
				received[side] = count
				receivers.Done()
			}()
		}
		senders.Wait()
		close(messages)
		receivers.Wait()
		sum := 0
		for _, count := range received {
			sum += count
		}
		must(sum == sides*each, "every message is received once")
	})
}

func mutex(s sample) {
	s.timed(s.size, func(each int) {
		var lock sync.Mutex
		number := 0
		var all sync.WaitGroup
		all.Add(s.size)
		for range s.size {
			go func() {
				for range each {
					lock.Lock()
					number++
					lock.Unlock()
				}
				all.Done()
			}()
		}
		all.Wait()
		must(number == s.size*each, "the lock keeps others out")
	})
}
