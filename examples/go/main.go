// GET /whoami, with an access token of sso: its signature and claims are checked in process by the
// keys of the JWKS; whether it was revoked is asked of Validate, as JSON over HTTP.
//
// sso must know the service as a caller, by the digest of its token:
//
//	export SSO_CALLER_TOKEN=$(openssl rand -hex 32)
//	digest=$(printf %s "$SSO_CALLER_TOKEN" | sha256sum | cut -d' ' -f1)
//	callers="[{name='whoami', token_sha256='$digest', scopes=['auth', 'revocations:read']}]"
//	sso --dev --set "grpc.callers=$callers" &
//	SSO_ISSUER=http://127.0.0.1:8000 SSO_GRPC_URL=http://127.0.0.1:44044 go run .
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// Claims are what an access token says.
type Claims struct {
	jwt.RegisteredClaims
	TokenType string `json:"token_type"`
	UID       string `json:"uid"`
	Email     string `json:"email"`
	Session   string `json:"sid"`
	IsAdmin   bool   `json:"adm"`
}

var (
	errRefused    = errors.New("the access token is refused")
	errUnknowable = errors.New("the access token cannot be validated at the moment")
)

// Verifier says who is calling.
type Verifier struct {
	parser      *jwt.Parser
	keys        keyfunc.Keyfunc
	validateURL string
	callerToken string
	client      http.Client
	// Bounds the questions under way: an outage must not pile them up.
	room chan struct{}
}

// NewVerifier fetches the keys, and keeps them fresh until the context ends.
func NewVerifier(ctx context.Context, issuer, jwksURL, grpcURL, callerToken string) (*Verifier, error) {
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{jwksURL})
	if err != nil {
		return nil, err
	}
	return &Verifier{
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{"EdDSA", "ES256", "RS256"}),
			jwt.WithIssuer(issuer),
			jwt.WithAudience(issuer),
			jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(),
			jwt.WithLeeway(10*time.Second),
			jwt.WithStrictDecoding(),
		),
		keys:        keys,
		validateURL: grpcURL + "/sso/validate",
		callerToken: callerToken,
		client:      http.Client{Timeout: 500 * time.Millisecond},
		room:        make(chan struct{}, 64),
	}, nil
}

// Verify gives the claims of a good token.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	if len(token) > 8192 {
		return nil, errRefused
	}
	claims := &Claims{}
	// The keys carry their algorithm: keyfunc refuses a token that names another one.
	parsed, err := v.parser.ParseWithClaims(token, claims, v.keys.Keyfunc)
	if err != nil {
		return nil, errRefused
	}
	_, critical := parsed.Header["crit"]
	if critical || parsed.Header["typ"] != "at+jwt" || claims.TokenType != "access" || claims.UID != claims.Subject {
		return nil, errRefused
	}
	// Only a token that is good by itself is worth a question.
	return claims, v.ask(ctx, token)
}

func (v *Verifier) ask(ctx context.Context, token string) error {
	select {
	case v.room <- struct{}{}:
		defer func() { <-v.room }()
	default:
		return errUnknowable
	}
	body, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, v.validateURL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("x-caller-token", v.callerToken)
	reply, err := v.client.Do(request)
	if err != nil {
		return errUnknowable
	}
	defer reply.Body.Close()
	switch reply.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized:
		return errRefused
	default:
		return errUnknowable
	}
}

func (v *Verifier) whoami(w http.ResponseWriter, r *http.Request) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	claims, err := (*Claims)(nil), errRefused
	if strings.EqualFold(scheme, "Bearer") {
		claims, err = v.Verify(r.Context(), strings.TrimSpace(token))
	}
	w.Header().Set("Content-Type", "application/json")
	answer := map[string]string{}
	switch {
	case err == nil:
		answer["user_id"], answer["email"] = claims.Subject, claims.Email
	case errors.Is(err, errRefused):
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		answer["error"] = err.Error()
	default:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		answer["error"] = errUnknowable.Error()
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		log.Print(err)
	}
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	issuer := env("SSO_ISSUER", "http://127.0.0.1:8000")
	verifier, err := NewVerifier(
		context.Background(),
		issuer,
		env("SSO_JWKS_URL", issuer+"/.well-known/jwks.json"),
		env("SSO_GRPC_URL", "http://127.0.0.1:44044"),
		os.Getenv("SSO_CALLER_TOKEN"),
	)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /whoami", verifier.whoami)
	log.Fatal(http.ListenAndServe(env("WHOAMI_LISTEN", "127.0.0.1:8080"), nil))
}
