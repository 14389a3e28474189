package token

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestTokensLiveUntilRevokedOrExpired, TestP2_RevokingClosesWhatTheTokenHasOpen, TestP3TokensOfOneTenantAreNothingAtAnother,
		TestP1NoTokenWithoutItsRecord, TestP1_WhatIsRecordedHappens, TestSpecsAreChecked, TestLastUseIsWrittenBehind,
		TestUnknownTokensAreCountedBeforeTheyAreLookedUp,
		TestRotationHasAnOverlap, TestP2_TokensEndWithTheirConnection, TestClientsGetAccessTokens, TestP9_APITokensEndWithTheirPerson, TestATokenThatEndsSoonIsToldOf,
		TestThereAreSoManyTokens, TestAPersonHasSoManyTokens, TestP1_WhatCouldNotBeDoneIsRecorded, TestP9_WhatACrashLeavesEnds, TestTokensThatEndedLongAgoAreRemoved,
	}, "TestCacheForgetsWhatWasReadBefore")
}
