package sessions

import "context"

type callingKey struct{}

// calling is the stream of a request that may end its own session.
type calling struct {
	stream Stream
	gone   <-chan struct{} // closed once nobody waits for the request's answer
}

// Calling marks a request's context with the stream that the request is
// answered over. A revocation that is asked for by this very request spares
// that stream, and does not wait for it: signing oneself out must get its
// answer, and that answer is the last that the stream carries. ctx must end
// when the client leaves or the stream is cut.
func Calling(ctx context.Context, c Stream) context.Context {
	return context.WithValue(ctx, callingKey{}, calling{c, ctx.Done()})
}

// Caller is the stream over which the request of this context is answered;
// nil if it has none.
func Caller(ctx context.Context) Stream { return caller(ctx).stream }

func caller(ctx context.Context) calling {
	c, _ := ctx.Value(callingKey{}).(calling)
	return c
}
