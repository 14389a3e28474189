package scim_test

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestProviderSequences, TestAnAddressThatWeMadeFollowsTheUserName,
		TestRFC7643_2_5_UnassignedValues, TestRFC7643_3_Schemas, TestRFC7643_3_1_CommonAttributes,
		TestRFC7643_4_1_1_APasswordIsNeitherKeptNorReturned, TestRFC7643_4_1_2_GroupsOfAPerson,
		TestRFC7643_8_7_1_ValuesAreWhatTheSchemaSays, TestRFC7644_3_1_ContentTypes, TestRFC7644_3_3_Creating,
		TestRFC7644_3_3_1_Uniqueness, TestRFC7644_3_4_1_Reading, TestRFC7644_3_4_2_Listing, TestRFC7644_3_4_2_4_OddPaging,
		TestRFC7644_3_4_2_4_NobodyIsPassedOver, TestRFC7644_3_9_Projection, TestRFC7644_3_12_Errors, TestRFC7644_3_14_Versions,
		TestRFC7644_4_Discovery, TestRFC7644_3_5_1_ReplaceIsWhole, TestRFC7644_3_4_2_2_Filters, TestHostileBodies,
		TestALargeGroupIsNotWorkedOnForEver, TestP3_CallersWithoutAValidTokenOfThisTenant, TestP3_IdsOfAnotherTenant,
		TestP1_EveryRequestHasItsRecord, TestP7_NothingIsAnsweredWithoutTheJournal, TestP9_SessionsAreOverWhenTheAnswerIsSent,
		TestP9_APersonMadeInactiveCannotSignIn, TestOktaCycle, TestEntraCycle, TestPatchThatIsNotUnderstoodChangesNothing,
		TestADisplayNameThatWeMadeFollowsTheName,
	})
}
