package sessions

import "context"

// Sweep is what Run does every few seconds.
func (s *Service) Sweep(ctx context.Context) { s.sweep(ctx) }
