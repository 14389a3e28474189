package tenants

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/webp"

	"gatehouse/internal/fault"
)

const (
	// MaxLogo bounds the image of a logo, in bytes, and maxLogoSide its width and its
	// height, in pixels.
	MaxLogo     = 64 << 10
	maxLogoSide = 1024
	// maxScans bounds in how many steps a JPEG builds up. Each goes over the whole
	// image, however few bytes it has; common encoders write 18 at most.
	maxScans = 20
)

// logoFormat is a kind of image that a logo may be. There is no SVG among them, which
// is a document that can hold scripts.
type logoFormat struct {
	mediaType string
	begins    func(data []byte) bool
	// whole reports whether the file is one still image and nothing besides: what
	// follows the end could be read as something else.
	whole  func(data []byte) bool
	config func(data []byte) (image.Config, error)
	decode func(data []byte) (image.Image, error)
}

var logoFormats = []logoFormat{
	{"image/png", prefix(pngSignature), wholePNG,
		func(data []byte) (image.Config, error) { return png.DecodeConfig(bytes.NewReader(data)) },
		func(data []byte) (image.Image, error) { return png.Decode(bytes.NewReader(data)) }},
	{"image/jpeg", prefix("\xff\xd8\xff"), wholeJPEG,
		func(data []byte) (image.Config, error) { return jpeg.DecodeConfig(bytes.NewReader(data)) },
		func(data []byte) (image.Image, error) { return jpeg.Decode(bytes.NewReader(data)) }},
	{"image/webp", func(data []byte) bool {
		return len(data) >= 16 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP"
	}, wholeWebP,
		func(data []byte) (image.Config, error) { return webp.DecodeConfig(bytes.NewReader(data)) },
		func(data []byte) (image.Image, error) { return webp.Decode(bytes.NewReader(data)) }},
}

const pngSignature = "\x89PNG\r\n\x1a\n"

func prefix(p string) func([]byte) bool {
	return func(data []byte) bool { return bytes.HasPrefix(data, []byte(p)) }
}

var (
	errLogoFormat = fault.New(fault.Invalid, "bad-logo", "A logo is an image in PNG, JPEG or WebP.")
	errLogoBroken = fault.New(fault.Invalid, "bad-logo", "The image is damaged, animated, built up in more than %d steps, or holds something besides the image.", maxScans)
	errLogoSize   = fault.New(fault.TooLarge, "logo-too-large", "A logo has at most %d bytes, and is at most %d pixels wide and high.", MaxLogo, maxLogoSide)
)

// unpacker has images unpacked one at a time, so that many at once take no more of
// the machine than one. It is full while one is.
type unpacker chan struct{}

// check is checkLogo, when its turn comes.
func (u unpacker) check(ctx context.Context, data []byte) (mediaType string, err error) {
	select {
	case u <- struct{}{}:
		defer func() { <-u }()
		return checkLogo(data)
	case <-ctx.Done():
		return "", fault.OutOfReach(context.Cause(ctx), "images-under-way", "Other images are still being looked at. Try again in a moment.")
	}
}

// checkLogo says what kind of image it is, or why it is no logo. What it says of
// itself elsewhere, such as in a header of the request, counts for nothing.
func checkLogo(data []byte) (mediaType string, err error) {
	if len(data) > MaxLogo {
		return "", errLogoSize
	}
	for _, f := range logoFormats {
		if !f.begins(data) {
			continue
		}
		// The size first: what is larger is not unpacked.
		config, err := f.config(data)
		switch {
		case err != nil || config.Width <= 0 || config.Height <= 0:
			return "", errLogoBroken
		case config.Width > maxLogoSide || config.Height > maxLogoSide:
			return "", errLogoSize
		case !f.whole(data):
			return "", errLogoBroken
		}
		if _, err := f.decode(data); err != nil {
			return "", errLogoBroken
		}
		return f.mediaType, nil
	}
	return "", errLogoFormat
}

// wholePNG goes along the chunks (PNG specification §5.3) to IEND.
func wholePNG(data []byte) bool {
	for rest := data[len(pngSignature):]; len(rest) >= 12; {
		size := int64(binary.BigEndian.Uint32(rest))
		if size > int64(len(rest)-12) {
			return false
		}
		switch name := string(rest[4:8]); name {
		case "acTL", "fcTL", "fdAT": // an animation
			return false
		case "IEND":
			return size == 0 && len(rest) == 12
		}
		rest = rest[12+size:]
	}
	return false
}

// wholeJPEG goes along the segments (ITU-T T.81 §B.1.1) to the end of the image. One
// that builds up progressively (§G) has a scan for each step.
func wholeJPEG(data []byte) bool {
	scans := 0
	for i := 2; i+1 < len(data); {
		if data[i] != 0xff {
			return false
		}
		marker := data[i+1]
		switch {
		case marker == 0xff: // fill
			i++
			continue
		case marker == 0xd9: // the end
			return i+2 == len(data)
		case marker == 0x01 || marker >= 0xd0 && marker <= 0xd8: // without a length
			return false
		}
		if i+4 > len(data) {
			return false
		}
		size := int(binary.BigEndian.Uint16(data[i+2:]))
		if size < 2 {
			return false
		}
		i += 2 + size
		if marker == 0xda { // a scan, whose data goes on to the next marker
			if scans++; scans > maxScans {
				return false
			}
			for i+1 < len(data) && (data[i] != 0xff || data[i+1] == 0 || data[i+1] >= 0xd0 && data[i+1] <= 0xd7) {
				i++
			}
		}
	}
	return false
}

// wholeWebP goes along the chunks (RFC 9649 §2.3), of which there is exactly one with
// an image.
func wholeWebP(data []byte) bool {
	if int64(binary.LittleEndian.Uint32(data[4:])) != int64(len(data)-8) {
		return false
	}
	images := 0
	rest := data[12:]
	for len(rest) >= 8 {
		size := int64(binary.LittleEndian.Uint32(rest[4:]))
		padded := size + size%2
		if padded > int64(len(rest)-8) {
			return false
		}
		switch string(rest[:4]) {
		case "VP8 ", "VP8L":
			images++
		case "ANIM", "ANMF":
			return false
		}
		rest = rest[8+padded:]
	}
	return len(rest) == 0 && images == 1
}
