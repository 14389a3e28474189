package sessions

import "context"

// Sweep is what Run does every few seconds with the sessions in use.
func (s *Service) Sweep(ctx context.Context) { s.sweep(ctx, s.registry.Active) }

// Purge runs one purge of what is long over.
func (s *Service) Purge(ctx context.Context) { s.purge(ctx) }
