// Package feed keeps what others are told of a tenant's directory: the changes of
// people and groups in the order in which they came true, and the webhooks that these
// are sent to.
//
// It exists so that other systems can follow the directory without reading all of it
// again and again, and without missing anything: a change is noted in the transaction
// that makes it, under a number that is the order of the commits. What is told is
// at least once and in order; the person or group goes with it as they are when it is
// told, so that whoever has taken in the last of it knows how things stand.
//
// It must not speak HTTP (webhooks does), and it must not change the directory.
package feed
