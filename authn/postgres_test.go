package authn_test

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestAFullTableOfStepsDrivesOutTheNetworksOwn, TestSignInByOIDC, TestSignInReplacesTheBrowsersSession,
		TestHostileIDTokensAreRefused, TestUserinfoFillsASmallIDToken, TestAStepIsForOneUseOneBrowserOneConnection,
		TestP1NoSignInWithoutItsRecord, TestAnInterruptedFirstSignInStillGivesTheRole, TestP2_NoSessionByAConnectionThatHasChanged,
		TestInactivePeopleAreRefused, TestSignInBySAMLAtARealIdentityProvider, TestSAMLKeepsDeviceAndReplacesSession,
		TestP2_ASAMLAnswerIsGoodForTheConnectionThatVerifiedIt, TestSAMLAcceptsWhatProvidersSend,
		TestP1_ADefaultRoleThatIsGoneIsARefusalWithARecord, TestP2_BackChannelLogoutEndsWhatItNames, TestALogoutTokenIsHeededOnce,
		TestHostileLogoutTokensEndNothing, TestLogoutTokensOfOtherConnections, TestLogoutTokensAskTheProviderSeldom,
		TestAProviderThatCannotBeReachedIsAskedToTryAgain, TestALogoutTokenIsNotRefusedForWantOfKeys,
		TestASignInWithoutTheProvidersKeysMayBeTriedAgain, TestP2_FrontChannelLogoutEndsTheBrowsersOwnSession,
		TestAFreshSignInByOIDC, TestAFreshSignInHasToBeFresh, TestAFreshSignInBySAML, TestClientHintsNameADevice,
	}, "TestAnUnknownStateWaitsForNoLock", "TestFramesOfStrangeIssuers")
}
