package configs

import "log/slog"

// Secret is text that must not be shown. Converting it to string is the one
// deliberate way to read it; printing, logging and encoding give a mask.
type Secret string

const mask = "[secret]"

// String gives the mask.
func (Secret) String() string { return mask }

// GoString gives the mask.
func (Secret) GoString() string { return mask }

// MarshalText gives the mask, for JSON and YAML alike.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// LogValue gives the mask.
func (Secret) LogValue() slog.Value { return slog.StringValue(mask) }
