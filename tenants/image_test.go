package tenants

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"gatehouse/internal/fault"
)

func picture(width, height int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for x := range width {
		for y := range height {
			m.Set(x, y, color.RGBA{uint8(x), uint8(y), uint8(x * y), 255})
		}
	}
	return m
}

func pngOf(t testing.TB, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture(width, height)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegOf(t testing.TB, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture(width, height), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gifOf(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gif.Encode(&b, picture(8, 8), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func base64Of(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Images of one pixel, in both kinds of WebP.
const (
	lossyWebP    = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA"
	losslessWebP = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="
)

// chunked puts a chunk of PNG before the image's data.
func chunked(data []byte, name, content string) []byte {
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(content)))
	chunk = append(append(chunk, name...), content...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	const header = 8 + 25 // IHDR
	return bytes.Join([][]byte{data[:header], chunk, data[header:]}, nil)
}

// riff wraps chunks of WebP.
func riff(chunks ...string) []byte {
	body := "WEBP"
	for i := 0; i < len(chunks); i += 2 {
		body += chunks[i] + string(binary.LittleEndian.AppendUint32(nil, uint32(len(chunks[i+1])))) + chunks[i+1] + strings.Repeat("\x00", len(chunks[i+1])%2)
	}
	return []byte("RIFF" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(body)))) + body)
}

// stepOfJPEG says in twelve bytes that nothing changes in any of 16,384 blocks (ITU-T
// T.81 §G.1.2.2).
const stepOfJPEG = "\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00" + "\x00\x00"

// jpegInSteps is a square JPEG that builds up in this many scans, of which some 5,000
// fit into a logo.
func jpegInSteps(side, scans int) []byte {
	size := string(binary.BigEndian.AppendUint16(nil, uint16(side)))
	frame := "\xff\xc2\x00\x0b\x08" + size + size + "\x01\x01\x11\x00" // progressive, grey
	const (
		tables = "\xff\xdb\x00\x43\x00" + // quantisation
			"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" +
			"\xff\xc4\x00\x14\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00" + // DC: no difference, in one bit
			"\xff\xc4\x00\x14\x10" + "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\xe0" // AC: the end of 2^14 blocks and more, in one bit
		first = "\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00"
	)
	return []byte("\xff\xd8" + frame + tables + first + strings.Repeat("\x00", side*side/512+1) + strings.Repeat(stepOfJPEG, scans-1) + "\xff\xd9")
}

// pngBomb unpacks to far more than its eight by eight pixels.
func pngBomb(t testing.TB) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	if _, err := w.Write(make([]byte, 32<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	start := pngOf(t, 8, 8)[:33] // with IHDR
	return append(chunked(start, "IDAT", packed.String()), "\x00\x00\x00\x00IEND\xae\x42\x60\x82"...)
}

// sized changes the size that a PNG's header says.
func sized(data []byte, side uint32) []byte {
	data = bytes.Clone(data)
	binary.BigEndian.PutUint32(data[16:], side)
	binary.BigEndian.PutUint32(data[20:], side)
	binary.BigEndian.PutUint32(data[29:], crc32.ChecksumIEEE(data[12:29]))
	return data
}

func TestALogoIsOneStillImage(t *testing.T) {
	valid := pngOf(t, 64, 32)
	lossless := base64Of(t, losslessWebP)
	image := string(lossless[20:])
	for name, c := range map[string]struct {
		data []byte
		want string // the media type, or the code of the refusal
	}{
		"png":           {valid, "image/png"},
		"png, largest":  {pngOf(t, 1024, 1), "image/png"},
		"png, a text":   {chunked(valid, "tEXt", "Title\x00x"), "image/png"},
		"jpeg":          {jpegOf(t, 64, 32), "image/jpeg"},
		"jpeg in steps": {jpegInSteps(maxLogoSide, maxScans), "image/jpeg"},
		"webp, lossy":   {base64Of(t, lossyWebP), "image/webp"},
		"webp":          {lossless, "image/webp"},

		"nothing":            {nil, "bad-logo"},
		"text":               {[]byte("hello"), "bad-logo"},
		"svg, packed":        {[]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), "bad-logo"},
		"svg":                {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), "bad-logo"},
		"html":               {[]byte(`<!doctype html><script>alert(1)</script>`), "bad-logo"},
		"gif":                {gifOf(t), "bad-logo"},
		"png, too wide":      {pngOf(t, 1025, 1), "logo-too-large"},
		"png, too high":      {pngOf(t, 1, 1025), "logo-too-large"},
		"too many bytes":     {append(bytes.Clone(valid), make([]byte, MaxLogo)...), "logo-too-large"},
		"png, animated":      {chunked(valid, "acTL", "\x00\x00\x00\x01\x00\x00\x00\x00"), "bad-logo"},
		"png, cut short":     {valid[:len(valid)-13], "bad-logo"},
		"png, no end":        {valid[:len(valid)-12], "bad-logo"},
		"png, head alone":    {valid[:33], "bad-logo"},
		"png, damaged":       {bytes.Replace(valid, []byte("IDAT"), []byte("IDAT\x01")[:4], 1)[:40], "bad-logo"},
		"png and a page":     {append(bytes.Clone(valid), "<script>alert(1)</script>"...), "bad-logo"},
		"png, a bomb":        {pngBomb(t), "bad-logo"},
		"png, a huge one":    {sized(valid, 1<<24), "logo-too-large"},
		"png, said larger":   {sized(valid, 1024), "bad-logo"},
		"jpeg, cut short":    {jpegOf(t, 64, 32)[:200], "bad-logo"},
		"jpeg, no end":       {jpegOf(t, 64, 32)[:len(jpegOf(t, 64, 32))-2], "bad-logo"},
		"jpeg and a page":    {append(jpegOf(t, 64, 32), "<script>alert(1)</script>\xff\xd9"...), "bad-logo"},
		"two jpegs":          {append(jpegOf(t, 8, 8), jpegOf(t, 8, 8)...), "bad-logo"},
		"jpeg, too wide":     {jpegOf(t, 1025, 1), "logo-too-large"},
		"jpeg in too many":   {jpegInSteps(maxLogoSide, maxScans+1), "bad-logo"},
		"jpeg in thousands":  {jpegInSteps(maxLogoSide, 5_000), "bad-logo"},
		"webp, cut short":    {lossless[:len(lossless)-2], "bad-logo"},
		"webp and a page":    {append(bytes.Clone(lossless), "<script>alert(1)</script>"...), "bad-logo"},
		"webp, two images":   {riff("VP8L", image, "VP8L", image), "bad-logo"},
		"webp, no image":     {riff("VP8X", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), "bad-logo"},
		"webp, animated":     {riff("VP8X", "\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00", "ANIM", "\x00\x00\x00\x00\x00\x00", "VP8L", image), "bad-logo"},
		"webp, a frame":      {riff("VP8X", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "ANMF", strings.Repeat("\x00", 16)+image), "bad-logo"},
		"webp, a huge image": {riff("VP8X", "\x00\x00\x00\x00\xff\x0f\x00\xff\x0f\x00", "VP8L", image), "logo-too-large"},
	} {
		got, err := checkLogo(c.data)
		if err != nil {
			got = fault.As(err).Code
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// However many want an image looked at, one is unpacked at a time, and who leaves
// waits no longer.
func TestImagesAreUnpackedOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		images := make(unpacker, 1)
		images <- struct{}{} // somebody's is
		valid := pngOf(t, 8, 8)
		type answer struct {
			mediaType string
			err       error
		}
		ask := func(ctx context.Context) <-chan answer {
			got := make(chan answer, 1)
			go func() {
				mediaType, err := images.check(ctx, valid)
				got <- answer{mediaType, err}
			}()
			synctest.Wait()
			return got
		}
		leaving, leave := context.WithCancel(t.Context())
		gone, waits := ask(leaving), ask(t.Context())
		if len(gone) != 0 || len(waits) != 0 {
			t.Fatal("unpacked beside another")
		}
		leave()
		if got := <-gone; !fault.Is(got.err, fault.Unavailable) {
			t.Errorf("whoever left is told %+v", got)
		}
		<-images
		if got := <-waits; got.mediaType != "image/png" || got.err != nil {
			t.Errorf("whoever waited is told %+v", got)
		}
		if got := <-ask(t.Context()); got.err != nil {
			t.Errorf("the next one is told %+v", got)
		}
	})
}

// What is taken is within the bounds, and no more and no less than an image.
func FuzzCheckLogo(f *testing.F) {
	for _, seed := range [][]byte{jpegInSteps(16, 3), jpegInSteps(16, maxScans), jpegInSteps(16, maxScans+1), pngBomb(f), sized(pngOf(f, 8, 8), 64), pngOf(f, 8, 8), jpegOf(f, 8, 8), gifOf(f), base64Of(f, lossyWebP), base64Of(f, losslessWebP),
		chunked(pngOf(f, 8, 8), "acTL", "\x00\x00\x00\x01\x00\x00\x00\x00"), riff("VP8X", "\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00", "ANIM", "\x00\x00\x00\x00\x00\x00")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		mediaType, err := checkLogo(data)
		if err != nil {
			return
		}
		config, format, err := image.DecodeConfig(bytes.NewReader(data))
		if err != nil || "image/"+format != mediaType || config.Width > maxLogoSide || config.Height > maxLogoSide || len(data) > MaxLogo {
			t.Errorf("taken as %s: %s of %d by %d, %v", mediaType, format, config.Width, config.Height, err)
		}
		others := map[string][]byte{"longer by a byte": append(bytes.Clone(data), 'x'), "shorter by a byte": data[:len(data)-1]}
		if mediaType == "image/jpeg" {
			end := len(data) - 2
			others["in many steps more"] = slices.Concat(data[:end], []byte(strings.Repeat(stepOfJPEG, maxScans)), data[end:])
		}
		for name, other := range others {
			if _, err := checkLogo(other); err == nil {
				t.Errorf("%s, it is taken as well", name)
			}
		}
	})
}
