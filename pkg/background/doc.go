// Package background observes what no watch reports, without delaying reconciles: Locust's masters (Poller) and the Events of stuck
// objects (EventReader). Both have the same shape: a reconcile reads the Latest result, Requests more, and Forgets a deleted
// test; a new result enqueues the test through the Source.
package background
